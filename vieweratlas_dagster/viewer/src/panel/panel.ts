/** The details beside the map: a channel with its neighbours, a community or region, or a comparison. */
import { arrows } from "../controls/arrow-keys";
import { fact, groupLink, heading, link } from "../controls/details";
import type { Atlas, Channel, Neighbour } from "../data/data";
import { passing } from "../data/filter";
import { count, languageName, percent, things, weight } from "../data/format";
import { linkTo, type View } from "../data/state";
import { el, nameOf, swatch } from "../dom";
import { compareField, comparisonDetails } from "./comparison";
import { groupDetails } from "./group-details";

export function renderPanel(panel: HTMLElement, atlas: Atlas, view: View, compare: (channels: Channel[]) => void): void {
  const { selection } = view;
  if (selection.kind === "none") {
    panel.hidden = true;
    panel.replaceChildren();
    return;
  }
  const close = el("a", { href: "#", className: "close", ariaLabel: "Close details" }, "×");
  const content =
    selection.kind === "channel"
      ? channelDetails(atlas, selection.channel, compare)
      : selection.kind === "compare"
        ? comparisonDetails(atlas, selection.channels, compare)
        : groupDetails(atlas, selection.group, passing(atlas, view.filter));
  panel.replaceChildren(close, ...content);
  panel.hidden = false;
  panel.scrollTop = 0;
}

function channelDetails(atlas: Atlas, channel: Channel, compare: (channels: Channel[]) => void): HTMLElement[] {
  const rank = channel.viewers === null ? "" : ` · no. ${count(channel.at + 1)} on this map`;
  const facts = el(
    "dl",
    {},
    ...fact("Audience", channel.viewers === null ? "unknown" : `${things(channel.viewers, "viewer")}${rank}`),
    ...(atlas.knows.games ? fact("Game", channel.game === null ? "unknown" : nameOf(channel.game)) : []),
    ...(atlas.knows.languages ? fact("Language", channel.language === null ? "unknown" : languageName(channel.language)) : []),
    ...fact("Community", channel.community ? groupLink(channel.community) : "none: it shares too few viewers"),
    ...fact("Region", channel.region ? groupLink(channel.region) : "none"),
  );
  return [
    el("p", { className: "kind" }, "Channel"),
    heading(channel.name),
    facts,
    ...compareField(atlas, [channel], compare),
    ...neighbourList(atlas, channel),
  ];
}

function neighbourList(atlas: Atlas, channel: Channel): HTMLElement[] {
  const neighbours = atlas.neighboursOf(channel);
  const shared = atlas.amount === "shared_viewers";
  const title = el("h3", {}, shared ? "Shares viewers with" : "Closest channels");
  if (!neighbours.length) {
    const floor = atlas.published.min_shared;
    return [
      title,
      el("p", { className: "empty" }, shared ? `No channel on this page shares enough viewers with it: at least ${floor}, or more if this map's threshold is higher.` : "The list does not contain a pair with this channel."),
    ];
  }
  const strongest = neighbours[0]!.amount;
  const head = el(
    "tr",
    {},
    el("th", { scope: "col" }, "Channel"),
    el("th", { scope: "col", className: "number" }, shared ? "Shared viewers" : "Weight"),
    shared && el("th", { scope: "col", className: "number", title: `Share of ${channel.name}'s viewers who are also the neighbour's` }, "of its"),
    shared && el("th", { scope: "col", className: "number", title: `Share of the neighbour's viewers who are also ${channel.name}'s` }, "of theirs"),
  );
  const rows = neighbours.map((neighbour) => neighbourRow(channel, neighbour, strongest, shared));
  const shown =
    channel.neighbours > neighbours.length ? `the ${neighbours.length} strongest of ${count(channel.neighbours)}` : things(neighbours.length, "channel");
  const note = shared
    ? `${shown}. “Of its”: share of this channel's viewers who were also seen in the other; “of theirs”: the other way round. Select a number to compare the two.`
    : `${shown}. The list this map was made from has coefficients, not viewer counts.`;
  return [
    title,
    el("table", { className: "neighbours" }, el("thead", {}, head), arrows(el("tbody", {}, ...rows))),
    el("p", { className: "note" }, note),
  ];
}

function neighbourRow(channel: Channel, { channel: other, amount }: Neighbour, strongest: number, shared: boolean): HTMLElement {
  const part = (whole: number | null) => (whole ? percent(Math.min(amount / whole, 1)) : "–");
  const color = other.community?.color ?? "var(--lone)";
  return el(
    "tr",
    { properties: { "--share": String(amount / strongest), "--color": color } },
    el("th", { scope: "row" }, swatch(color), link(other, other.name)),
    el("td", { className: "number bar" }, el("a", { href: linkTo([channel, other]), title: `Compare ${channel.name} and ${other.name}` }, shared ? count(amount) : weight(amount))),
    shared && el("td", { className: "number" }, part(channel.viewers)),
    shared && el("td", { className: "number" }, part(other.viewers)),
  );
}
