/** Decodes the maps and changes of earlier days, as publish/history.py encodes them into the page's second block. */
import { type Atlas, decode, type Encoded } from "./data";
import { isDate } from "./format";

const FORMAT = 1;
// As in data.ts.
const PLACES = 10_000;

type Level = "community" | "region";

interface PackedGroups {
  id: number[];
  size: number[];
  viewers: number[];
  label: number[];
  short: number[];
  reason: number[];
  color: number[];
  region?: number[];
}

interface PackedEvent {
  level: Level;
  kind: Kind;
  id: number;
  others: number[];
  channels: number;
}

export interface PackedHistory {
  format: number;
  min_shared: number;
  neighbours_kept: number;
  coordinate_steps: number;
  names: string[];
  pairs: { first: number[]; second: number[] };
  /** Newest first. */
  days: {
    name: string;
    regions: PackedGroups;
    communities: PackedGroups;
    channels: Record<"at" | "viewers" | "game" | "language" | "community" | "region" | "x" | "y" | "neighbours", number[]>;
    amount: "shared_viewers" | "weight";
    amounts: number[];
    events: PackedEvent[];
  }[];
  /** Of today. */
  events: PackedEvent[];
  texts: string[];
}

export type Kind = "born" | "gone" | "split" | "merged";

/** A group that an event names; it may be on an earlier map only. */
export interface Named {
  id: number;
  label: string;
  color: string;
}

export interface Change {
  level: Level;
  kind: Kind;
  group: Named;
  others: Named[];
  channels: number;
}

/** A channel on one day; `viewers` is null when it is not on that day's map, or its audience is unknown. */
export interface Seen {
  day: string;
  on: boolean;
  viewers: number | null;
}

/** The changes among a channel's closest neighbours between two days. */
export interface Company {
  from: string;
  to: string;
  /** Number of the strongest neighbours compared. */
  kept: number;
  came: string[];
  went: string[];
}

/** Decodes the text of the block: JSON in a zlib stream in base64. */
export async function unpack(block: string): Promise<PackedHistory> {
  const bytes = Uint8Array.from(atob(block), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text()) as PackedHistory;
}

export class History {
  /** Oldest first; the last is today's map. */
  readonly days: string[];
  private readonly channels: PackedHistory["days"][number]["channels"][];
  private readonly amounts: Float64Array[];
  private readonly maps = new Map<string, Atlas>();
  private readonly position: Map<string, number>;
  /** For each day, the row of each name; -1 when it is not on that map. */
  private readonly rows: Int32Array[];

  constructor(
    private readonly packed: PackedHistory,
    private readonly today: Atlas,
  ) {
    if (packed.format !== FORMAT) throw new Error(`the history has format ${packed.format}, not ${FORMAT}`);
    this.days = today.days;
    this.channels = unrolled(packed);
    this.amounts = unrolledAmounts(packed);
    this.position = new Map(packed.names.map((name, at) => [name, at]));
    this.rows = this.channels.map(({ at }) => {
      const rows = new Int32Array(packed.names.length).fill(-1);
      at.forEach((name, row) => (rows[name] = row));
      return rows;
    });
  }

  /** The map of a day; today's for an unknown day. */
  mapOf(day: string): Atlas {
    const at = this.packed.days.findIndex(({ name }) => name === day);
    if (at < 0) return this.today;
    let map = this.maps.get(day);
    if (!map) {
      map = { ...decode(this.encoded(at)), day, days: this.days, absent: null };
      this.maps.set(day, map);
    }
    return map;
  }

  /** The changes between a day and the day before. */
  changesOn(day: string): Change[] {
    const at = this.packed.days.findIndex(({ name }) => name === day);
    const events = at < 0 ? (day === this.days.at(-1) ? this.packed.events : []) : this.packed.days[at]!.events;
    return events.map(({ level, kind, id, others, channels }) => ({
      level,
      kind,
      channels,
      group: this.named(level, id, at),
      others: others.map((other) => this.named(level, other, at)),
    }));
  }

  /** A channel's audience day by day, oldest first. */
  daysOf(channel: string): Seen[] {
    const name = this.position.get(channel) ?? -1;
    const earlier = this.packed.days.map(({ name: day }, at) => {
      const row = this.rows[at]![name] ?? -1;
      return { day, on: row >= 0, viewers: row < 0 ? null : known(this.channels[at]!.viewers[row]!) };
    });
    const now = this.today.channelNamed(channel);
    return [...earlier.reverse(), { day: this.days.at(-1)!, on: Boolean(now), viewers: now?.viewers ?? null }];
  }

  /** The changes between the channel's first and last day on the map; null when it has only one such day. */
  companyOf(channel: string): Company | null {
    const there = this.daysOf(channel).filter(({ on }) => on);
    const [first, last] = [there[0], there.at(-1)];
    const kept = this.packed.neighbours_kept;
    if (!first || !last || first === last || !kept) return null;
    const closest = ({ day }: Seen) => {
      const map = this.mapOf(day);
      return map.neighboursOf(map.channelNamed(channel)!).slice(0, kept).map((neighbour) => neighbour.channel.name);
    };
    const [then, now] = [closest(first), closest(last)];
    return {
      from: first.day,
      to: last.day,
      kept,
      came: now.filter((name) => !then.includes(name)),
      went: then.filter((name) => !now.includes(name)),
    };
  }

  /** A group with its name on the day, else on the day before, else on any day. */
  private named(level: Level, id: number, at: number): Named {
    const days = this.packed.days;
    const maps = [at, at + 1, ...days.keys(), -1];
    for (const position of maps) {
      if (position < 0) {
        const group = level === "region" ? this.today.regionWith(id) : this.today.communityWith(id);
        if (group) return { id, label: group.label, color: group.color };
        continue;
      }
      const groups = days[position]?.[level === "region" ? "regions" : "communities"];
      const row = groups?.id.indexOf(id) ?? -1;
      if (groups && row >= 0) return { id, label: this.text(groups.label[row]!) ?? "", color: this.text(groups.color[row]!) ?? "" };
    }
    return { id, label: `no. ${id}`, color: "" };
  }

  private text(at: number): string | null {
    return this.packed.texts[at] ?? null;
  }

  /** A day in the encoding of today's block. */
  private encoded(at: number): Encoded {
    const { packed } = this;
    const day = packed.days[at]!;
    const rows = this.channels[at]!;
    const texts = (positions: number[]) => positions.map((position) => this.text(position) ?? "");
    const groups = (from: PackedGroups) => ({
      id: from.id,
      label: texts(from.label),
      short: texts(from.short),
      reason: texts(from.reason),
      size: from.size,
      viewers: from.viewers,
      color: texts(from.color),
    });
    const row = (ids: number[]) => new Map(ids.map((id, position) => [id, position]));
    const [regionAt, communityAt] = [row(day.regions.id), row(day.communities.id)];
    const games = new Positions();
    const languages = new Positions();
    // Largest audience first, like today's channels; the sort is stable and the names are sorted already.
    const order = rows.at.map((_, position) => position).sort((a, b) => rows.viewers[b]! - rows.viewers[a]!);
    const column = (name: "viewers" | "community" | "region" | "x" | "y" | "neighbours") => order.map((position) => rows[name][position]!);
    const place = new Int32Array(packed.names.length).fill(-1);
    order.forEach((position, now) => (place[rows.at[position]!] = now));
    return {
      format: 1,
      facts: { ...this.today.facts, date_from: null, ...(isDate(day.name) ? { date_to: day.name } : { date_to: null, title: day.name }) },
      published: { min_shared: packed.min_shared, neighbours_kept: packed.neighbours_kept, pairs: 0, pairs_withheld: 0, pairs_cut: 0 },
      regions: groups(day.regions),
      communities: { ...groups(day.communities), region: (day.communities.region ?? []).map((id) => regionAt.get(id) ?? -1) },
      channels: {
        name: order.map((position) => packed.names[rows.at[position]!]!),
        viewers: column("viewers").map(known),
        game: order.map((position) => games.of(this.text(rows.game[position]!))),
        language: order.map((position) => languages.of(this.text(rows.language[position]!))),
        community: column("community").map((id) => communityAt.get(id) ?? -1),
        region: column("region").map((id) => regionAt.get(id) ?? -1),
        x: column("x").map((step) => (step * PLACES) / packed.coordinate_steps),
        y: column("y").map((step) => (step * PLACES) / packed.coordinate_steps),
        neighbours: column("neighbours"),
      },
      games: games.all,
      languages: languages.all,
      edges: { amount: day.amount, ...adjacency(packed.pairs, this.amounts[at]!, place, order.length) },
    };
  }
}

class Positions {
  readonly all: string[] = [];
  private readonly at = new Map<string, number>();
  of(text: string | null): number {
    if (text === null) return -1;
    let position = this.at.get(text);
    if (position === undefined) this.at.set(text, (position = this.all.push(text) - 1));
    return position;
  }
}

/** Decodes an audience: the block adds 1 to each, so that 0 means unknown. */
const known = (stored: number) => (stored ? stored - 1 : null);

const sums = (steps: number[]) => {
  let sum = 0;
  return steps.map((step) => (sum += step));
};

/** Every day's columns as values; the block has differences from each channel's newer day. */
function unrolled(packed: PackedHistory) {
  // Audiences in an imported list may exceed 32 bits.
  const last: Record<string, Float64Array> = {};
  return packed.days.map(({ channels }) => {
    const at = sums(channels.at);
    const columns = { ...channels, at };
    for (const key of Object.keys(channels) as (keyof typeof channels)[]) {
      if (key === "at") continue;
      const values = (last[key] ??= new Float64Array(packed.names.length));
      columns[key] = channels[key].map((change, row) => (values[at[row]!]! += change));
    }
    return columns;
  });
}

function unrolledAmounts(packed: PackedHistory): Float64Array[] {
  let newer = new Float64Array(packed.pairs.first.length);
  return packed.days.map(({ amount, amounts }) => {
    if (amount === "weight") return Float64Array.from(amounts);
    newer = Float64Array.from(amounts, (change, pair) => newer[pair]! + change);
    return newer;
  });
}

/** The pairs of a day by the positions of its channels, in the encoding of today's block. */
function adjacency(pairs: PackedHistory["pairs"], amounts: Float64Array, place: Int32Array, channels: number) {
  const found: [number, number, number][] = [];
  let [first, second] = [0, 0];
  pairs.first.forEach((step, pair) => {
    if (step || pair === 0) second = first += step;
    second += pairs.second[pair]!;
    const [from, to] = [place[first]!, place[second]!];
    if (amounts[pair] && from >= 0 && to >= 0) found.push([Math.min(from, to), Math.max(from, to), amounts[pair]!]);
  });
  found.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const counts = new Array<number>(channels).fill(0);
  const targets = found.map(([from, to], at) => {
    counts[from]!++;
    const before = found[at - 1];
    return to - (before && before[0] === from ? before[1] : from);
  });
  return { counts, targets, amounts: found.map(([, , amount]) => amount) };
}
