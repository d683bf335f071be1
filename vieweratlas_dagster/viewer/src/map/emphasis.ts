/** The emphasis of channels, lands, names and lines under a selection and a filter; drawing is left to others. */
import type { Atlas, Channel, Community, Neighbour, Region } from "../data/data";
import { EVERYTHING, type Filter, passing } from "../data/filter";
import { amountOf } from "../data/overlap";
import { NOTHING, type Selection } from "../data/state";
import { TINT } from "./land";

/** Neighbours of a selected channel that are named. */
export const NEIGHBOURS_NAMED = 14;
const LINKS_DRAWN = 40;

export interface Link {
  from: Channel;
  to: Channel;
  amount: number;
}

export class Emphasis {
  /** The neighbours of the selected channel, strongest first. */
  readonly neighbours: Neighbour[];
  readonly compared: Channel[];
  /** Positions of the channels that pass the filter; null: all. */
  readonly passing: Set<number> | null;
  /** Positions of the channels that are not dimmed; null: all. */
  readonly lit: Set<number> | null;

  constructor(
    private readonly atlas: Atlas,
    readonly selection: Selection = NOTHING,
    filter: Filter = EVERYTHING,
  ) {
    this.passing = passing(atlas, filter);
    this.compared = selection.kind === "compare" ? selection.channels : [];
    this.neighbours = selection.kind === "channel" ? atlas.neighboursOf(selection.channel) : [];
    this.lit = this.litChannels();
  }

  /** The selected or compared channels. */
  get chosen(): Channel[] {
    return this.selection.kind === "channel" ? [this.selection.channel] : this.compared;
  }

  /** The drawing layer: 0 for dimmed discs, 1 for others, and 2, on top, for the chosen. */
  layerOf(channel: Channel): number {
    if (this.lit && !this.lit.has(channel.at)) return 0;
    return this.chosen.includes(channel) ? 2 : 1;
  }

  /** The share of its colour that a community's land shows, smaller outside the selection. */
  tintOf(community: Community): number {
    const { selection } = this;
    if (!this.passesSome(community)) return 0.08;
    if (selection.kind === "none") return TINT;
    if (selection.kind === "community") return selection.group === community ? TINT + 0.14 : 0.1;
    if (selection.kind === "region") return selection.group === community.region ? TINT + 0.06 : 0.1;
    return this.chosen.some((channel) => channel.community === community) ? TINT : 0.13;
  }

  /** The opacity of a group's name, 0 to 1, lower outside the selection. */
  strengthOf(group: Community | Region): number {
    const { selection } = this;
    if (!this.passesSome(group)) return 0.6;
    if (selection.kind === "none") return 1;
    if (selection.kind === "channel" || selection.kind === "compare") {
      return this.chosen.some((channel) => group === channel.community || group === channel.region) ? 1 : 0.75;
    }
    if (selection.group === group) return 1;
    return "region" in group && group.region === selection.group ? 1 : 0.7;
  }

  /** The pairs to draw as lines, the strongest last and so on top. */
  links(): Link[] {
    const { selection, compared } = this;
    const pairs =
      selection.kind === "channel"
        ? this.neighbours
            .filter(({ channel }) => !this.passing || this.passing.has(channel.at))
            .slice(0, LINKS_DRAWN)
            .map(({ channel, amount }) => ({ from: selection.channel, to: channel, amount }))
        : compared.flatMap((from, at) => compared.slice(at + 1).map((to) => ({ from, to, amount: amountOf(this.atlas, from, to) ?? 0 })));
    return pairs.filter(({ amount }) => amount > 0).sort((a, b) => a.amount - b.amount);
  }

  private passesSome(group: Community | Region): boolean {
    const { passing } = this;
    return !passing || group.members.some((at) => passing.has(at));
  }

  private litChannels(): Set<number> | null {
    const { selection, passing } = this;
    if (selection.kind === "none") return passing;
    const left = (members: number[]) => (passing ? members.filter((at) => passing.has(at)) : members);
    if (selection.kind === "channel") return new Set([selection.channel.at, ...left(this.neighbours.map(({ channel }) => channel.at))]);
    if (selection.kind === "compare") return new Set([...selection.channels.map(({ at }) => at), ...left(this.inCommon(selection.channels))]);
    return new Set(left(selection.group.members));
  }

  /** Neighbours of all these channels. */
  private inCommon(channels: Channel[]): number[] {
    const [first, ...others] = channels.map((channel) => this.atlas.neighboursOf(channel).map((neighbour) => neighbour.channel.at));
    return first?.filter((at) => others.every((other) => other.includes(at))) ?? [];
  }
}
