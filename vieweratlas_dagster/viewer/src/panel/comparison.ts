/** The details of two or three compared channels: shared and separate viewers, as circles and bars. */
import { channelEntry, buildIndex, find, startFinder } from "../controls/search";
import type { Atlas, Channel } from "../data/data";
import { compact, count, percent, things, weight } from "../data/format";
import { amountOf, type Between, isExact, type Pair, three, two } from "../data/overlap";
import { linkTo, MOST_COMPARED } from "../data/state";
import { el, nameOf } from "../dom";
import { venn } from "./venn";

const MARKS = ["var(--one)", "var(--two)", "var(--three)"];
const SVG = "http://www.w3.org/2000/svg";

const mark = (at: number) => el("span", { className: "mark", properties: { "--color": MARKS[at]! }, attributes: { "aria-hidden": "true" } });

export function comparisonDetails(atlas: Atlas, channels: Channel[], go: (channels: Channel[]) => void): HTMLElement[] {
  return [
    el("p", { className: "kind" }, "Compare"),
    el("h2", { tabIndex: -1 }, ...channels.flatMap((channel, at) => [at === 0 ? null : at === channels.length - 1 ? " and " : ", ", nameOf(channel.name)])),
    el("ul", { className: "compared" }, ...channels.map((channel, at) => chip(channel, at, channels))),
    ...(channels.length < MOST_COMPARED ? compareField(atlas, channels, go) : []),
    ...body(atlas, channels),
  ];
}

function chip(channel: Channel, at: number, channels: Channel[]): HTMLElement {
  const rest = channels.filter((other) => other !== channel);
  return el(
    "li",
    {},
    mark(at),
    el("a", { href: linkTo(channel) }, nameOf(channel.name)),
    el("span", { className: "number" }, channel.viewers === null ? "audience unknown" : things(channel.viewers, "viewer")),
    el("a", { className: "remove", href: linkTo(rest.length === 1 ? rest[0]! : rest), ariaLabel: `Remove ${channel.name}` }, "×"),
  );
}

/** A field to add a channel; its first suggestions are the strongest neighbours. */
export function compareField(atlas: Atlas, channels: Channel[], go: (channels: Channel[]) => void): HTMLElement[] {
  const list = el("ul", { id: "compare-suggestions", className: "suggestions", hidden: true, attributes: { role: "listbox", "aria-label": "Channels to compare with" } });
  const field = el("input", {
    id: "compare",
    type: "search",
    placeholder: channels.length === 1 ? "Compare with another channel" : "Add a third channel",
    autocomplete: "off",
    spellcheck: false,
    attributes: {
      role: "combobox",
      "aria-label": channels.length === 1 ? "Compare with another channel" : "Add a third channel",
      "aria-autocomplete": "list",
      "aria-expanded": "false",
      "aria-controls": list.id,
      autocapitalize: "none",
      enterkeyhint: "go",
    },
  });
  let index: ReturnType<typeof buildIndex> | null = null;
  startFinder({
    field,
    list,
    suggest(typed) {
      index ??= buildIndex(atlas).filter(({ target }) => "name" in target && !channels.includes(target));
      if (typed.trim()) return find(index, typed);
      const near = channels.flatMap((channel) => atlas.neighboursOf(channel)).sort((a, b) => b.amount - a.amount);
      const fresh = [...new Set(near.map(({ channel }) => channel))].filter((channel) => !channels.includes(channel));
      return fresh.slice(0, 8).map(channelEntry);
    },
    choose({ target }) {
      if ("name" in target) go([...channels, target]);
    },
  });
  return [el("div", { className: "finder" }, field, list)];
}

function body(atlas: Atlas, channels: Channel[]): HTMLElement[] {
  if (atlas.amount === "weight") return weights(atlas, channels);
  const unknown = channels.filter((channel) => channel.viewers === null);
  if (unknown.length) return [...amounts(atlas, channels), note(`The audience of ${unknown.map(({ name }) => name).join(" and ")} is unknown, so the viewers of one channel alone cannot be counted.`)];
  const [one, other, third] = channels as [Channel, Channel, Channel?];
  return third ? threeDetails(atlas, [one, other, third]) : twoDetails(atlas, one, other);
}

const note = (text: string) => el("p", { className: "note" }, text);

/** "1,200", or "1,000 to 1,200", or "at most 1,200". */
export function betweenText(value: Between): string {
  if (isExact(value)) return count(value.low);
  return value.low === 0 ? `at most ${count(value.high)}` : `${count(value.low)} to ${count(value.high)}`;
}

/** The reason why a pair's amount is not on the page, and its bounds. */
function whyUnknown(atlas: Atlas, pair: Pair): HTMLElement {
  const { min_shared: floor } = atlas.published;
  const threshold = atlas.facts["overlap_threshold"];
  const below =
    typeof threshold === "number"
      ? `Pairs of fewer than ${count(Math.max(threshold, floor))} shared viewers are not published`
      : `Pairs that are missing from the list behind this map, or share fewer than ${count(floor)} viewers, are not published`;
  const cut = pair.high >= Math.max(typeof threshold === "number" ? threshold : 0, floor) ? ", and weaker pairs of channels with many neighbours are left off this page" : "";
  return el("p", { className: "note unknown" }, "The number of viewers that ", nameOf(pair.one.name), " and ", nameOf(pair.other.name), ` share is unknown: ${betweenText(pair)}. ${below}${cut}.`);
}

interface Row {
  /** Positions of the row's channels, whose dots are filled. */
  sets: number[];
  title: (Node | string)[];
  value: Between;
  about?: (Node | string)[];
}

/** Rows of bars on one scale; the uncertain part of a bar is hatched. */
function bars(caption: string, channels: Channel[], rows: Row[], largest: number): HTMLElement {
  const dots = (sets: number[]) =>
    el("span", { className: "dots", attributes: { "aria-hidden": "true" } }, ...channels.map((_, at) => el("i", { className: sets.includes(at) ? "in" : "", properties: { "--color": MARKS[at]! } })));
  return el(
    "table",
    { className: "bars" },
    el("caption", {}, caption),
    el(
      "tbody",
      {},
      ...rows.map(({ sets, title, value, about }) =>
        el(
          "tr",
          { className: isExact(value) ? "exact" : "between", properties: { "--low": String(value.low / largest), "--high": String(value.high / largest) } },
          el("th", { scope: "row" }, dots(sets), el("span", { className: "what" }, ...title)),
          el("td", {}, el("span", { className: "amount" }, betweenText(value)), about ? el("span", { className: "about" }, ...about) : null, el("span", { className: "gauge", attributes: { "aria-hidden": "true" } })),
        ),
      ),
    ),
  );
}

const ofBoth = (pair: Pair): (Node | string)[] => {
  const part = (whole: number | null) => (whole ? percent(Math.min(pair.low / whole, 1)) : "–");
  if (!pair.known) return ["not published"];
  return [`${part(pair.one.viewers)} of `, nameOf(pair.one.name), `, ${part(pair.other.viewers)} of `, nameOf(pair.other.name)];
};

function twoDetails(atlas: Atlas, one: Channel, other: Channel): HTMLElement[] {
  const { pair, alone, together } = two(atlas, one, other)!;
  const channels = [one, other];
  const rows: Row[] = [
    { sets: [0], title: ["only ", nameOf(one.name)], value: alone[0] },
    { sets: [0, 1], title: ["both"], value: pair, about: ofBoth(pair) },
    { sets: [1], title: ["only ", nameOf(other.name)], value: alone[1] },
  ];
  return [
    ...(pair.known ? [circles(one, other, pair.low)] : []),
    bars("Viewers", channels, rows, Math.max(one.viewers!, other.viewers!, 1)),
    pair.known
      ? note(`${count(together.low)} different viewers together. The areas of the circles and of their overlap are in proportion.`)
      : whyUnknown(atlas, pair),
  ];
}

function threeDetails(atlas: Atlas, channels: [Channel, Channel, Channel]): HTMLElement[] {
  const { pairs, alone, all, together } = three(atlas, channels)!;
  const largest = Math.max(...channels.map(({ viewers }) => viewers!), 1);
  const ends: [number, number][] = [[0, 1], [0, 2], [1, 2]];
  const name = (at: number) => nameOf(channels[at]!.name);
  const pairRows = pairs.map((pair, at): Row => {
    const [one, other] = ends[at]!;
    return { sets: [one, other], title: [name(one), " and ", name(other)], value: pair, about: ofBoth(pair) };
  });
  const known = pairs.filter(({ known }) => known).length;
  return [
    bars(
      known === 3 ? "Known exactly" : "Audiences and pairs",
      channels,
      [...channels.map((channel, at): Row => ({ sets: [at], title: [name(at)], value: { low: channel.viewers!, high: channel.viewers! } })), ...pairRows],
      largest,
    ),
    bars(
      "Derived from these",
      channels,
      [{ sets: [0, 1, 2], title: ["all three"], value: all }, ...alone.map((value, at): Row => ({ sets: [at], title: ["only ", name(at)], value }))],
      largest,
    ),
    note(
      `Only audiences and pairs are counted, so the rest is known only within these bounds; the hatched parts are uncertain. Together: ${betweenText(together)} different viewers.`,
    ),
    ...pairs.filter(({ known }) => !known).map((pair) => whyUnknown(atlas, pair)),
  ];
}

/** The counts of the pairs alone, for channels with unknown audiences. */
function amounts(atlas: Atlas, channels: Channel[]): HTMLElement[] {
  return [pairTable(atlas, channels, "Shared viewers", count)];
}

function weights(atlas: Atlas, channels: Channel[]): HTMLElement[] {
  return [
    pairTable(atlas, channels, "Weight", weight),
    note("The list behind this map has coefficients, not viewer counts, so the numbers of shared viewers, and of viewers of one channel alone, are unknown."),
  ];
}

function pairTable(atlas: Atlas, channels: Channel[], caption: string, write: (amount: number) => string): HTMLElement {
  const pairs = channels.flatMap((one, at) => channels.slice(at + 1).map((other) => ({ one, other, amount: amountOf(atlas, one, other) })));
  const largest = Math.max(...pairs.map(({ amount }) => amount ?? 0), Number.MIN_VALUE);
  return el(
    "table",
    { className: "bars" },
    el("caption", {}, caption),
    el(
      "tbody",
      {},
      ...pairs.map(({ one, other, amount }) => {
        const share = String((amount ?? 0) / largest);
        return el(
          "tr",
          { className: "exact", properties: { "--low": share, "--high": share } },
          el("th", { scope: "row" }, nameOf(one.name), " and ", nameOf(other.name)),
          el("td", {}, el("span", { className: "amount" }, amount === undefined ? "not on this page" : write(amount)), el("span", { className: "gauge", attributes: { "aria-hidden": "true" } })),
        );
      }),
    ),
  );
}

/** The two audiences as circles, with numbers inside where they fit; the table below has them all. */
function circles(one: Channel, other: Channel, shared: number): HTMLElement {
  const sizes: [number, number] = [Math.max(one.viewers!, 1), Math.max(other.viewers!, 1)];
  const [wide, high] = [320, 168];
  const plan = venn(sizes, shared, 1);
  const span = plan.radii[0] + plan.distance + plan.radii[1];
  const unit = Math.min((wide - 8) / Math.max(span, 2), (high - 8) / 2);
  const [first, second] = plan.radii.map((radius) => radius * unit) as [number, number];
  const distance = plan.distance * unit;
  const [left, right] = [Math.min(-first, distance - second), Math.max(first, distance + second)];
  const x0 = wide / 2 - (left + right) / 2;
  const x1 = x0 + distance;
  const svg = document.createElementNS(SVG, "svg");
  const draw = (tag: string, attributes: Record<string, string | number>, text?: string) => {
    const shape = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, String(value));
    if (text !== undefined) shape.textContent = text;
    svg.append(shape);
  };
  for (const [key, value] of Object.entries({
    viewBox: `0 0 ${wide} ${high}`,
    class: "venn",
    role: "img",
    "aria-label": `${one.name} has ${count(one.viewers!)} viewers and ${other.name} has ${count(other.viewers!)}; they share ${count(shared)}.`,
  })) {
    svg.setAttribute(key, value);
  }
  draw("circle", { cx: x0, cy: high / 2, r: first, class: "one" });
  draw("circle", { cx: x1, cy: high / 2, r: second, class: "two" });
  const inside = (from: number, to: number, value: number) => {
    const text = compact(value);
    if (to - from > 8 * text.length + 6) draw("text", { x: (from + to) / 2, y: high / 2, "text-anchor": "middle", "dominant-baseline": "central" }, text);
  };
  // Left to right: the first alone, both, the second alone. If one circle contains the other, one of these is empty.
  inside(x0 - first, Math.min(x1 - second, x0 + first), one.viewers! - shared);
  inside(Math.max(x1 - second, x0 - first), Math.min(x0 + first, x1 + second), shared);
  inside(Math.max(x0 + first, x1 - second), x1 + second, other.viewers! - shared);
  return el("figure", {}, svg);
}
