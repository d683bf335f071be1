/**
 * Shared and separate viewers of two or three channels, pure: exact where the pairs are published, else the
 * tightest bounds.
 */
import type { Atlas, Channel } from "./data";

/** A number from `low` to `high`, both possible; equal when it is known exactly. */
export interface Between {
  low: number;
  high: number;
}

export interface Pair extends Between {
  one: Channel;
  other: Channel;
  /** Whether the amount is on the page. */
  known: boolean;
}

const exactly = (amount: number): Between => ({ low: amount, high: amount });

export const isExact = ({ low, high }: Between) => low === high;

/** The amount of a pair; undefined when it is not on the page. */
export function amountOf(atlas: Atlas, one: Channel, other: Channel): number | undefined {
  // A pair is on the page when it is among the strongest of either.
  const found =
    atlas.neighboursOf(one).find(({ channel }) => channel === other) ??
    atlas.neighboursOf(other).find(({ channel }) => channel === one);
  return found?.amount;
}

/**
 * The shared viewers of two channels.
 *
 * A pair that is not on the page was below a threshold, or was cut for space because both channels have enough
 * stronger neighbours. An imported list may lack a pair for unknown reasons.
 */
export function pairOf(atlas: Atlas, one: Channel, other: Channel): Pair {
  const smaller = Math.min(one.viewers ?? Infinity, other.viewers ?? Infinity);
  const amount = amountOf(atlas, one, other);
  if (amount !== undefined) return { one, other, known: true, ...exactly(amount) };
  return { one, other, known: false, low: 0, high: Math.min(smaller, Math.max(belowThreshold(atlas), ifCut(atlas, one, other))) };
}

function belowThreshold(atlas: Atlas): number {
  const threshold = atlas.facts["overlap_threshold"];
  return typeof threshold === "number" ? Math.max(threshold, atlas.published.min_shared) - 1 : Infinity;
}

/** The largest amount of a pair that was cut for space; -1 when it cannot have been cut. */
function ifCut(atlas: Atlas, one: Channel, other: Channel): number {
  const weakest = [one, other].map((channel) => {
    const kept = atlas.neighboursOf(channel);
    // An earlier day may have kept no neighbour; then a cut pair may have any amount.
    return channel.neighbours > kept.length ? (kept.at(-1)?.amount ?? Infinity) : -1;
  });
  return Math.min(...weakest);
}

export interface Two {
  pair: Pair;
  /** Viewers of only the first, and of only the second. */
  alone: [Between, Between];
  together: Between;
}

/** Null when an audience is unknown. */
export function two(atlas: Atlas, one: Channel, other: Channel): Two | null {
  const pair = pairOf(atlas, one, other);
  if (one.viewers === null || other.viewers === null) return null;
  const rest = (whole: number): Between => ({ low: Math.max(whole - pair.high, 0), high: whole - Math.min(pair.low, whole) });
  const sum = one.viewers + other.viewers;
  return { pair, alone: [rest(one.viewers), rest(other.viewers)], together: { low: sum - pair.high, high: sum - pair.low } };
}

export interface Three {
  /** First and second, first and third, second and third. */
  pairs: [Pair, Pair, Pair];
  /** Viewers of each channel who were not seen in the other two. */
  alone: [Between, Between, Between];
  all: Between;
  together: Between;
}

/** Null when an audience is unknown. */
export function three(atlas: Atlas, channels: [Channel, Channel, Channel]): Three | null {
  const sizes = channels.map((channel) => channel.viewers);
  if (sizes.includes(null)) return null;
  const [a, b, c] = channels;
  const pairs: Three["pairs"] = [pairOf(atlas, a, b), pairOf(atlas, a, c), pairOf(atlas, b, c)];
  return { pairs, ...boundsOfThree(sizes as [number, number, number], pairs) };
}

/**
 * Bounds on the parts of three sets, from their sizes and pairs.
 *
 * With t elements in all three, the part of one set alone has n - (its two pairs) + t, and no part can be
 * negative: every bound is one of these conditions at its extreme.
 */
export function boundsOfThree(sizes: [number, number, number], pairs: [Between, Between, Between]): Omit<Three, "pairs"> {
  const [ab, ac, bc] = pairs;
  // For each set: its size, its two pairs and the sizes of the other sets in them, and the pair of those two.
  const views = [
    { n: sizes[0], to: [ab, ac], far: [sizes[1], sizes[2]], across: bc },
    { n: sizes[1], to: [ab, bc], far: [sizes[0], sizes[2]], across: ac },
    { n: sizes[2], to: [ac, bc], far: [sizes[0], sizes[1]], across: ab },
  ] as const;
  const all = {
    low: Math.max(0, ...views.map(({ n, to }) => to[0].low + to[1].low - n)),
    high: Math.min(ab.high, ac.high, bc.high),
  };
  const alone = views.map(({ n, to, far, across }) => {
    const low = Math.max(0, n - to[0].high - to[1].high, n - to[1].high + across.low - far[0], n - to[0].high + across.low - far[1]);
    return { low, high: Math.max(low, Math.min(n - to[0].low, n - to[1].low, n - to[0].low - to[1].low + across.high)) };
  }) as Three["alone"];
  const sum = sizes[0] + sizes[1] + sizes[2];
  const low = sum - ab.high - ac.high - bc.high + all.low;
  return {
    all,
    alone,
    together: {
      low: Math.max(low, ...sizes, sizes[0] + sizes[1] - ab.high, sizes[0] + sizes[2] - ac.high, sizes[1] + sizes[2] - bc.high),
      high: sum - ab.low - ac.low - bc.low + Math.min(all.high, ab.low, ac.low, bc.low),
    },
  };
}
