/**
 * The view in the page's address: #channel=name, #community=3, #region=1 or #compare=one&compare=other, then
 * the filter, the day and the camera, for example
 * #channel=name&game=Chess&language=de&least=1000&day=2026-01-10&at=0.12,-0.3,2.5.
 *
 * The view is kept in the address alone, so every view can be shared and the browser's Back works. An address
 * is untrusted input: its unknown parts are ignored and reported.
 */
import type { Atlas, Channel, Community, Region } from "./data";
import { EVERYTHING, type Filter } from "./filter";

export type Selection =
  | { kind: "channel"; channel: Channel }
  | { kind: "community"; group: Community }
  | { kind: "region"; group: Region }
  | { kind: "compare"; channels: Channel[] }
  | { kind: "none" };

/** The middle of the view in map coordinates, and its magnification against the view of the whole map. */
export interface Camera {
  x: number;
  y: number;
  zoom: number;
}

export interface View {
  selection: Selection;
  filter: Filter;
  /** The day of the map, from `Atlas.days`; null is the newest. */
  day: string | null;
  /** Without a selection: a requested channel that is not on the map. */
  absent: string | null;
  /** Parts of the selection that today's map has and this day's lacks, kept for the return to today. */
  elsewhere: [string, string][];
  /** Null: the best view of the selection. */
  camera: Camera | null;
}

export const NOTHING: Selection = { kind: "none" };
export const START: View = { selection: NOTHING, filter: EVERYTHING, day: null, absent: null, elsewhere: [], camera: null };
export const MOST_COMPARED = 3;

// No view has a longer address or more parts; addresses beyond these limits are ignored as a whole.
const LONGEST = 8000;
const MOST_PARTS = 200;

export const selectionFor = (target: Channel | Community | Region): Selection =>
  "name" in target
    ? { kind: "channel", channel: target }
    : "communities" in target
      ? { kind: "region", group: target }
      : { kind: "community", group: target };

function selectionParts(selection: Selection): [string, string][] {
  if (selection.kind === "none") return [];
  if (selection.kind === "channel") return [["channel", selection.channel.name]];
  if (selection.kind === "compare") return selection.channels.map((channel) => ["compare", channel.name]);
  return [[selection.kind, String(selection.group.id)]];
}

/** The address of a view, without the parts that equal the start. */
export function hashOf(view: Partial<View>): string {
  const { selection, filter, day, absent, elsewhere, camera } = { ...START, ...view };
  // A comparison of which this day has only one channel stays a comparison.
  const shown: Selection =
    selection.kind === "channel" && elsewhere.some(([key]) => key === "compare")
      ? { kind: "compare", channels: [selection.channel] }
      : selection;
  const short = (value: number) => String(Number(value.toPrecision(6)));
  const parts: [string, string][] = [
    ...selectionParts(shown),
    ...elsewhere,
    ...(selection.kind === "none" && absent !== null ? [["channel", absent] as [string, string]] : []),
    ...filter.games.map((game): [string, string] => ["game", game]),
    ...filter.languages.map((language): [string, string] => ["language", language]),
  ];
  if (filter.least !== null) parts.push(["least", String(filter.least)]);
  if (filter.most !== null) parts.push(["most", String(filter.most)]);
  if (day !== null) parts.push(["day", day]);
  if (camera) parts.push(["at", [camera.x, camera.y, camera.zoom].map(short).join(",")]);
  return `#${parts.map(([key, value]) => `${key}=${encodeURIComponent(value).replaceAll("%2C", ",")}`).join("&")}`;
}

/** The address of a channel, community or region, or of a comparison of channels. */
export const linkTo = (target: Channel | Community | Region | Channel[]) =>
  hashOf({ selection: Array.isArray(target) ? { kind: "compare", channels: target } : selectionFor(target) });

export interface Reading {
  view: View;
  /** The unknown parts, decoded where possible. */
  ignored: string[];
}

/** Reads the view of an address on a day's map. */
export function viewOf(hash: string, atlas: Atlas, today: Atlas = atlas): Reading {
  const text = hash.replace(/^#/, "");
  const raw = text ? text.split("&") : [];
  if (text.length > LONGEST || raw.length > MOST_PARTS) return { view: START, ignored: ["an address that is too long"] };
  const ignored: string[] = [];
  const view: View = { ...START, filter: { ...EVERYTHING, games: [], languages: [] }, elsewhere: [] };
  const compared: Channel[] = [];
  for (const part of raw) {
    const value = decoded(part.slice(part.indexOf("=") + 1));
    const key = part.slice(0, Math.max(part.indexOf("="), 0));
    if (value === null || value === "" || !take(key, value, view, compared, atlas)) {
      if (value && isElsewhere(key, value, view, compared, today)) view.elsewhere.push([key, value]);
      ignored.push((value === null ? part : key && value ? value : part).slice(0, 60));
    }
  }
  if (compared.length && view.selection.kind === "none") {
    view.selection = compared.length === 1 ? selectionFor(compared[0]!) : { kind: "compare", channels: compared };
  }
  return { view, ignored };
}

/** Whether a part that is unknown on this day's map belongs to a selection on today's. */
function isElsewhere(key: string, value: string, view: View, compared: Channel[], today: Atlas): boolean {
  const known = view.elsewhere.some((part) => part[0] === key && part[1] === value);
  if (known || view.selection.kind !== "none" || view.absent !== null) return false;
  if (key === "compare") {
    const channel = channelNamed(value, today);
    return channel !== undefined && !compared.some(({ name }) => name === channel.name) && compared.length + view.elsewhere.length < MOST_COMPARED;
  }
  const grouped = key === "community" || key === "region";
  return grouped && !compared.length && !view.elsewhere.length && named(key, value, today) !== undefined;
}

function decoded(raw: string): string | null {
  try {
    return decodeURIComponent(raw);
  } catch {
    return null;
  }
}

const wholeNumber = (text: string, digits = 12) => (new RegExp(`^\\d{1,${digits}}$`).test(text) ? Number(text) : null);

/** Puts a part into the view; false when the part is unknown, repeated or beyond a limit. */
function take(key: string, value: string, view: View, compared: Channel[], atlas: Atlas): boolean {
  const { filter } = view;
  switch (key) {
    case "channel":
    case "community":
    case "region": {
      const target = named(key, value, atlas);
      if (view.selection.kind !== "none" || view.absent !== null) return false;
      if (!target && key === "channel") view.absent = value;
      if (!target) return key === "channel";
      view.selection = selectionFor(target);
      return true;
    }
    case "compare": {
      const channel = channelNamed(value, atlas);
      if (!channel || compared.length === MOST_COMPARED || compared.includes(channel)) return false;
      compared.push(channel);
      return true;
    }
    case "game":
      return add(filter.games, value, atlas.channels.some(({ game }) => game === value));
    case "language":
      return add(filter.languages, value, atlas.channels.some(({ language }) => language === value));
    case "least":
    case "most": {
      const number = wholeNumber(value);
      if (number === null) return false;
      filter[key] = number;
      return true;
    }
    case "day":
      if (!atlas.days.includes(value)) return false;
      view.day = value === atlas.days.at(-1) ? null : value;
      return true;
    case "at":
      view.camera = cameraOf(value);
      return view.camera !== null;
    default:
      return false;
  }
}

function add(values: string[], value: string, known: boolean): boolean {
  if (!known || values.includes(value)) return false;
  values.push(value);
  return true;
}

const channelNamed = (name: string, atlas: Atlas) => atlas.channelNamed(name) ?? atlas.channelNamed(name.toLowerCase());

function named(kind: "channel" | "community" | "region", value: string, atlas: Atlas): Channel | Community | Region | undefined {
  if (kind === "channel") return channelNamed(value, atlas);
  if (!/^-?\d{1,15}$/.test(value)) return undefined;
  return kind === "community" ? atlas.communityWith(Number(value)) : atlas.regionWith(Number(value));
}

function cameraOf(value: string): Camera | null {
  const numbers = value.split(",");
  if (numbers.length !== 3 || !numbers.every((number) => /^-?\d{1,6}(\.\d{1,12})?(e-?\d)?$/.test(number))) return null;
  const [x, y, zoom] = numbers.map(Number) as [number, number, number];
  return zoom > 0 ? { x, y, zoom } : null;
}
