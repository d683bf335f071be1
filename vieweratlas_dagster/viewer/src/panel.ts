/** The details beside the map: a channel with its neighbours, or a community or region with its members. */
import type { Atlas, Channel, Community, Group, Neighbour, Region } from "./data";
import { el, nameOf, swatch } from "./dom";
import { count, languageName, percent, things, weight } from "./format";
import { hashOf, type Selection } from "./state";

const MEMBERS_FIRST = 100;
const TALLY_LENGTH = 6;

export function renderPanel(panel: HTMLElement, atlas: Atlas, selection: Selection): void {
  if (selection.kind === "none") {
    panel.hidden = true;
    panel.replaceChildren();
    return;
  }
  const close = el("a", { href: "#", className: "close", ariaLabel: "Close details" }, "×");
  const content = selection.kind === "channel" ? channelDetails(atlas, selection.channel) : groupDetails(atlas, selection.group);
  panel.replaceChildren(close, ...content);
  panel.hidden = false;
  panel.scrollTop = 0;
}

const link = (target: Channel | Community | Region, text: string) => el("a", { href: hashOf(target) }, nameOf(text));

const heading = (text: string) => el("h2", { tabIndex: -1 }, nameOf(text));

function fact(term: string, ...value: (Node | string)[]): HTMLElement[] {
  return [el("dt", {}, term), el("dd", {}, ...value)];
}

function groupLink(group: Community | Region): HTMLElement {
  return el("span", { className: "tagged" }, swatch(group.color), link(group, group.label));
}

function channelDetails(atlas: Atlas, channel: Channel): HTMLElement[] {
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
  return [el("p", { className: "kind" }, "Channel"), heading(channel.name), facts, ...neighbourList(atlas, channel)];
}

function neighbourList(atlas: Atlas, channel: Channel): HTMLElement[] {
  const neighbours = atlas.neighboursOf(channel);
  const shared = atlas.amount === "shared_viewers";
  const title = el("h3", {}, shared ? "Shares viewers with" : "Closest channels");
  if (!neighbours.length) {
    const floor = atlas.published.min_shared;
    return [
      title,
      el("p", { className: "empty" }, shared ? `No channel here shares ${floor} or more viewers with it, or enough for this map.` : "No pair with it is in the list."),
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
    ? `${shown}. “Of its”: share of this channel's viewers who were also seen in the other; “of theirs”: the other way round.`
    : `${shown}. The list this map was made from has coefficients, no viewer counts.`;
  return [
    title,
    el("table", { className: "neighbours" }, el("thead", {}, head), el("tbody", {}, ...rows)),
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
    el("td", { className: "number bar" }, shared ? count(amount) : weight(amount)),
    shared && el("td", { className: "number" }, part(channel.viewers)),
    shared && el("td", { className: "number" }, part(other.viewers)),
  );
}

function groupDetails(atlas: Atlas, group: Community | Region): HTMLElement[] {
  const members = group.members.map((at) => atlas.channels[at]!);
  const inside = "communities" in group ? group.communities : [];
  const facts = el(
    "dl",
    {},
    ...fact("Channels", count(group.size)),
    ...fact("Audiences", `${count(group.viewers)} in sum`),
    ...("region" in group ? fact("Region", group.region ? groupLink(group.region) : "none") : []),
    ...fact("Name", nameOf(group.reason)),
  );
  return [
    el("p", { className: "kind" }, swatch(group.color), group.kind === "region" ? "Region" : "Community"),
    heading(group.label),
    facts,
    ...communityList(inside),
    ...tally("Games", members, (channel) => channel.game, (name) => name),
    ...tally("Languages", members, (channel) => channel.language, languageName),
    ...memberList(group, members),
  ];
}

function communityList(communities: Community[]): HTMLElement[] {
  if (!communities.length) return [];
  const rows = communities.map((community) =>
    el("li", {}, swatch(community.color), link(community, community.label), el("span", { className: "number" }, count(community.size))),
  );
  return [el("h3", {}, "Communities"), el("ul", { className: "members" }, ...rows)];
}

/** How many of the channels have each value; nothing when none is known. */
function tally(title: string, members: Channel[], value: (channel: Channel) => string | null, write: (name: string) => string): HTMLElement[] {
  const counts = new Map<string, number>();
  for (const member of members) {
    const name = value(member);
    if (name !== null) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  if (!counts.size) return [];
  const ranked = [...counts].sort((one, other) => other[1] - one[1] || one[0].localeCompare(other[0]));
  const rows = ranked.slice(0, TALLY_LENGTH).map(([name, channels]) =>
    el("li", { properties: { "--share": String(channels / members.length) } }, nameOf(write(name)), el("span", { className: "number" }, percent(channels / members.length))),
  );
  const rest = ranked.length - rows.length;
  return [
    el("h3", {}, title),
    el("ul", { className: "tally" }, ...rows),
    ...(rest > 0 ? [el("p", { className: "note" }, `and ${count(rest)} more, by share of channels`)] : []),
  ];
}

function memberList(group: Group, members: Channel[]): HTMLElement[] {
  const item = (channel: Channel) =>
    el("li", {}, swatch(channel.community?.color ?? group.color), link(channel, channel.name), el("span", { className: "number" }, channel.viewers === null ? "" : count(channel.viewers)));
  const list = el("ul", { className: "members" }, ...members.slice(0, MEMBERS_FIRST).map(item));
  const more = el("button", { type: "button", className: "more" }, `Show all ${count(members.length)}`);
  more.addEventListener("click", () => {
    list.append(...members.slice(MEMBERS_FIRST).map(item));
    list.querySelectorAll("a")[MEMBERS_FIRST]?.focus();
    more.remove();
  });
  return [el("h3", {}, "Channels by audience"), list, ...(members.length > MEMBERS_FIRST ? [more] : [])];
}
