/** Looks a channel up among those that are not on the map, and says in one sentence why it is not. */
import type { Atlas } from "./data";
import { count, things } from "./format";

const fact = (atlas: Atlas, key: string) => (typeof atlas.facts[key] === "number" ? atlas.facts[key] : null);

/** Names of missing channels that contain the text, those that begin with it first. */
export function absentLike(atlas: Atlas, typed: string, limit = 3): string[] {
  const query = typed.trim().toLowerCase();
  if (!query) return [];
  const names = atlas.absent?.name.filter((name) => name.toLowerCase().includes(query)) ?? [];
  const begins = (name: string) => Number(!name.toLowerCase().startsWith(query));
  return names.sort((a, b) => begins(a) - begins(b)).slice(0, limit);
}

/** The reason why a channel is not on the map. */
export function whyAbsent(atlas: Atlas, name: string): string {
  const absent = atlas.absent;
  const at = absent?.name.findIndex((other) => other.toLowerCase() === name.toLowerCase()) ?? -1;
  if (!absent || at < 0) return unknown(atlas);
  const floor = things(atlas.published.min_shared, "viewer");
  const viewers = absent.viewers[at] ?? null;
  const seen = viewers === null ? `fewer than ${floor} were` : viewers === 1 ? "1 viewer was" : `${things(viewers, "viewer")} were`;
  const least = fact(atlas, "min_channel_viewers");
  const needed = least === null ? "too few for this map" : `a channel on this map has at least ${count(least)}`;
  switch (absent.kind[at]) {
    case "never_observed":
      return "It was meant to be collected, but its chat was never read, so its audience is unknown.";
    case "offline":
      return "Its chat was read, but it was not live on these days, and no viewer wrote in it.";
    case "little_coverage":
      return `Its chat was read for only ${absent.coverage[at] ?? 0}% of the time: ${seen} seen in it, and ${needed}, so it may have had more.`;
    case "excluded": {
      const excluded = absent.excluded[at] ?? null;
      const bots = excluded === null ? `fewer than ${floor}` : count(excluded);
      return `Not counting ${bots} that were left out as bots, ${seen} seen in its chat, and ${needed}.`;
    }
    default:
      return viewers === 0 ? `Its chat was read, but no viewer was seen writing in it; ${needed}.` : `Only ${seen} seen in its chat; ${needed}.`.replace("Only fewer", "Fewer");
  }
}

/** The answer for a name that the page does not list: a channel that was not collected, or one that opted out. */
function unknown(atlas: Atlas): string {
  const largest = fact(atlas, "top_channels_limit");
  const rest = atlas.absent?.untold ?? 0;
  const others = rest ? ` ${things(rest, "smaller channel")} that ${rest === 1 ? "was" : "were"} collected but left out ${rest === 1 ? "is" : "are"} not named on this page.` : "";
  if (atlas.facts["channel_list"] === true) return `This page does not contain data on this channel: to be on the map, it must be in the channel list.${others}`;
  if (largest !== null) return `This page does not contain data on this channel: to be on the map, it must be among the ${count(largest)} largest live channels.${others}`;
  return "This channel is not in the list that this map was made from.";
}
