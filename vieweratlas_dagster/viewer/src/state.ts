/**
 * What is selected, as the page's address says it: #channel=name, #community=3 or #region=1.
 *
 * The address is the only place where the selection is kept, so every view can be shared and the
 * browser's back button works.
 */
import type { Atlas, Channel, Community, Region } from "./data";

export type Selection =
  | { kind: "channel"; channel: Channel }
  | { kind: "community"; group: Community }
  | { kind: "region"; group: Region }
  | { kind: "none" };

export const NOTHING: Selection = { kind: "none" };

export function hashOf(selected: Channel | Community | Region): string {
  if ("name" in selected) return `#channel=${encodeURIComponent(selected.name)}`;
  return `#${selected.kind}=${selected.id}`;
}

export function groupSelection(group: Community | Region): Selection {
  return "communities" in group ? { kind: "region", group } : { kind: "community", group };
}

/** The selection an address stands for; an address that names nothing of this atlas selects nothing. */
export function selectionOf(hash: string, atlas: Atlas): Selection {
  const [, kind, raw] = /^#(channel|community|region)=(.+)$/s.exec(hash) ?? [];
  if (!kind || !raw) return NOTHING;
  let value: string;
  try {
    value = decodeURIComponent(raw);
  } catch {
    return NOTHING;
  }
  if (kind === "channel") {
    const channel = atlas.channelNamed(value) ?? atlas.channelNamed(value.toLowerCase());
    return channel ? { kind, channel } : NOTHING;
  }
  if (!/^-?\d+$/.test(value)) return NOTHING;
  if (kind === "community") {
    const group = atlas.communityWith(Number(value));
    return group ? { kind, group } : NOTHING;
  }
  const group = atlas.regionWith(Number(value));
  return group ? { kind: "region", group } : NOTHING;
}
