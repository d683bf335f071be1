/**
 * Decodes the embedded data, as publish/page.py encodes it: channels, communities, regions, and each channel's
 * neighbours.
 */

const FORMAT = 1;
const COORDINATE_STEPS = 10_000;

type Column<T> = T[];

interface EncodedGroups {
  id: Column<number>;
  label: Column<string>;
  short: Column<string>;
  reason: Column<string>;
  size: Column<number>;
  viewers: Column<number>;
  color: Column<string>;
}

export interface Encoded {
  format: number;
  facts: Record<string, unknown>;
  published: {
    min_shared: number;
    neighbours_kept: number;
    pairs: number;
    pairs_withheld: number;
    pairs_cut: number;
  };
  games: string[];
  languages: string[];
  regions: EncodedGroups;
  communities: EncodedGroups & { region: Column<number> };
  channels: {
    name: Column<string>;
    viewers: Column<number | null>;
    game: Column<number>;
    language: Column<number>;
    community: Column<number>;
    region: Column<number>;
    x: Column<number>;
    y: Column<number>;
    neighbours: Column<number>;
  };
  edges: {
    amount: "shared_viewers" | "weight";
    counts: Column<number>;
    targets: Column<number>;
    amounts: Column<number>;
  };
  /** Names of the days that the page can show, oldest first, the newest last; absent without a history. */
  days?: string[];
  absent?: EncodedAbsent;
}

/** Columns of channels that were seen but are not on the map; a null count is below the privacy floor. */
export interface EncodedAbsent {
  name: Column<string>;
  kind: Column<string | null>;
  viewers: Column<number | null>;
  excluded: Column<number | null>;
  coverage: Column<number | null>;
  untold: number;
}

/** A community or a region; `members` are positions in `Atlas.channels`, largest audience first. */
export interface Group {
  kind: "community" | "region";
  at: number;
  id: number;
  label: string;
  /** Its name on the map. */
  short: string;
  reason: string;
  size: number;
  viewers: number;
  color: string;
  members: number[];
}

export interface Community extends Group {
  region: Region | null;
}

export interface Region extends Group {
  communities: Community[];
}

export interface Channel {
  at: number;
  name: string;
  viewers: number | null;
  game: string | null;
  language: string | null;
  community: Community | null;
  region: Region | null;
  x: number;
  y: number;
  /** The number of its neighbours in the published pairs, including those that are not on the page. */
  neighbours: number;
}

export interface Neighbour {
  channel: Channel;
  amount: number;
}

export interface Atlas {
  facts: Record<string, unknown>;
  published: Encoded["published"];
  /** Largest audience first. */
  channels: Channel[];
  communities: Community[];
  regions: Region[];
  amount: "shared_viewers" | "weight";
  /** The day of this map, null without a history; and all days that the page can show, oldest first. */
  day: string | null;
  days: string[];
  absent: EncodedAbsent | null;
  /** Whether any channel's audience, game, or language is known. */
  knows: { viewers: boolean; games: boolean; languages: boolean };
  channelNamed(name: string): Channel | undefined;
  communityWith(id: number): Community | undefined;
  regionWith(id: number): Region | undefined;
  /** The strongest neighbours, strongest first. */
  neighboursOf(channel: Channel): Neighbour[];
}

function group<K extends Group["kind"]>(columns: EncodedGroups, at: number, kind: K) {
  return {
    kind,
    at,
    id: columns.id[at]!,
    label: columns.label[at]!,
    short: columns.short[at]!,
    reason: columns.reason[at]!,
    size: columns.size[at]!,
    viewers: columns.viewers[at]!,
    color: columns.color[at]!,
    members: [] as number[],
  };
}

/** The pairs as rows of neighbours, one row per channel, with each pair in the rows of both its ends. */
function adjacency(edges: Encoded["edges"], channels: number) {
  const degree = new Uint32Array(channels + 1);
  const firsts = new Uint32Array(edges.targets.length);
  const seconds = new Uint32Array(edges.targets.length);
  let pair = 0;
  for (let first = 0; first < channels; first++) {
    let second = first;
    for (let left = edges.counts[first]!; left > 0; left--) {
      second += edges.targets[pair]!;
      firsts[pair] = first;
      seconds[pair] = second;
      degree[first]!++;
      degree[second]!++;
      pair++;
    }
  }
  const starts = new Uint32Array(channels + 1);
  for (let at = 0; at < channels; at++) starts[at + 1] = starts[at]! + degree[at]!;
  const fill = starts.slice();
  const others = new Uint32Array(2 * pair);
  const amounts = new Float64Array(2 * pair);
  for (let at = 0; at < pair; at++) {
    for (const [from, to] of [
      [firsts[at]!, seconds[at]!],
      [seconds[at]!, firsts[at]!],
    ] as const) {
      const slot = fill[from]!++;
      others[slot] = to;
      amounts[slot] = edges.amounts[at]!;
    }
  }
  return { starts, others, amounts };
}

export function decode(encoded: Encoded): Atlas {
  if (encoded.format !== FORMAT) throw new Error(`the data has format ${encoded.format}, not ${FORMAT}`);
  const regions: Region[] = encoded.regions.id.map((_, at) => ({
    ...group(encoded.regions, at, "region"),
    communities: [],
  }));
  const communities: Community[] = encoded.communities.id.map((_, at) => {
    const region = regions[encoded.communities.region[at]!] ?? null;
    const community = { ...group(encoded.communities, at, "community"), region };
    region?.communities.push(community);
    return community;
  });
  const rows = encoded.channels;
  const channels: Channel[] = rows.name.map((name, at) => {
    const community = communities[rows.community[at]!] ?? null;
    const region = regions[rows.region[at]!] ?? null;
    community?.members.push(at);
    region?.members.push(at);
    return {
      at,
      name,
      viewers: rows.viewers[at]!,
      game: encoded.games[rows.game[at]!] ?? null,
      language: encoded.languages[rows.language[at]!] ?? null,
      community,
      region,
      x: rows.x[at]! / COORDINATE_STEPS,
      y: rows.y[at]! / COORDINATE_STEPS,
      neighbours: rows.neighbours[at]!,
    };
  });
  const byName = new Map(channels.map((channel) => [channel.name, channel]));
  const communityById = new Map(communities.map((community) => [community.id, community]));
  const regionById = new Map(regions.map((region) => [region.id, region]));
  const { starts, others, amounts } = adjacency(encoded.edges, channels.length);

  return {
    facts: encoded.facts,
    published: encoded.published,
    channels,
    communities,
    regions,
    amount: encoded.edges.amount,
    day: encoded.days?.at(-1) ?? null,
    days: encoded.days ?? [],
    absent: encoded.absent ?? null,
    knows: {
      viewers: channels.some((channel) => channel.viewers !== null),
      games: encoded.games.length > 0,
      languages: encoded.languages.length > 0,
    },
    channelNamed: (name) => byName.get(name),
    communityWith: (id) => communityById.get(id),
    regionWith: (id) => regionById.get(id),
    neighboursOf(channel) {
      const found: Neighbour[] = [];
      for (let slot = starts[channel.at]!; slot < starts[channel.at + 1]!; slot++) {
        found.push({ channel: channels[others[slot]!]!, amount: amounts[slot]! });
      }
      found.sort((a, b) => b.amount - a.amount || a.channel.at - b.channel.at);
      // Pairs that only the other channel kept come after these, with gaps.
      return found.slice(0, encoded.published.neighbours_kept);
    },
  };
}
