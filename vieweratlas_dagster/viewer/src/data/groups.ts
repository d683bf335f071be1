/** Audiences that communities or regions share with each other: sums over the pairs of channels on the page. */
import type { Atlas, Channel, Community, Region } from "./data";

export interface NeighbourGroup<G> {
  group: G;
  /** Shared viewers (or weights) summed over the pairs; a viewer counts once per pair. */
  amount: number;
  pairs: number;
}

/** Every pair of channels on the page once. */
export function* pairsOnPage(atlas: Atlas): Generator<[Channel, Channel, number]> {
  const seen = new Set<number>();
  for (const channel of atlas.channels) {
    for (const { channel: other, amount } of atlas.neighboursOf(channel)) {
      const [first, second] = channel.at < other.at ? [channel, other] : [other, channel];
      const key = first.at * atlas.channels.length + second.at;
      if (seen.has(key)) continue;
      seen.add(key);
      yield [first, second, amount];
    }
  }
}

const found = new WeakMap<Atlas, Map<Community | Region, Map<Community | Region, { amount: number; pairs: number }>>>();

function sums(atlas: Atlas) {
  let known = found.get(atlas);
  if (known) return known;
  known = new Map();
  const add = (one: Community | Region | null, other: Community | Region | null, amount: number) => {
    if (!one || !other || one === other) return;
    for (const [from, to] of [[one, other], [other, one]] as const) {
      const row = known!.get(from) ?? new Map<Community | Region, { amount: number; pairs: number }>();
      const sum = row.get(to) ?? { amount: 0, pairs: 0 };
      row.set(to, { amount: sum.amount + amount, pairs: sum.pairs + 1 });
      known!.set(from, row);
    }
  };
  for (const [first, second, amount] of pairsOnPage(atlas)) {
    add(first.community, second.community, amount);
    add(first.region, second.region, amount);
  }
  found.set(atlas, known);
  return known;
}

/** The communities that share with a community, or the regions that share with a region, the largest amount first. */
export function neighbourGroups<G extends Community | Region>(atlas: Atlas, group: G): NeighbourGroup<G>[] {
  const row = sums(atlas).get(group) ?? new Map<Community | Region, { amount: number; pairs: number }>();
  return [...row]
    .map(([other, sum]) => ({ group: other as G, ...sum }))
    .sort((a, b) => b.amount - a.amount || a.group.at - b.group.at);
}
