/** The details of a community or region: figures, neighbours, games, languages, and members. */
import { arrows } from "../controls/arrow-keys";
import { fact, groupLink, heading, link } from "../controls/details";
import type { Atlas, Channel, Community, Region } from "../data/data";
import { count, languageName, percent, things, weight } from "../data/format";
import { neighbourGroups } from "../data/groups";
import { el, nameOf, swatch } from "../dom";

const MEMBERS_FIRST = 100;
const TALLY_LENGTH = 6;
const NEIGHBOURS_SHOWN = 8;

/** `passing`: positions of the channels that pass the filter, null without a filter. */
export function groupDetails(atlas: Atlas, group: Community | Region, passing: Set<number> | null): HTMLElement[] {
  const members = group.members.map((at) => atlas.channels[at]!);
  const left = passing && members.filter(({ at }) => passing.has(at)).length;
  const facts = el(
    "dl",
    {},
    ...fact("Channels", `${count(group.size)}${left === null ? "" : `, ${count(left)} pass the filter`}`),
    ...(atlas.knows.viewers ? fact("Audiences", `${count(group.viewers)} in total`) : []),
    ...("region" in group ? fact("Region", group.region ? groupLink(group.region) : "none") : []),
    ...fact("Name", nameOf(group.reason)),
  );
  return [
    el("p", { className: "kind" }, swatch(group.color), group.kind === "region" ? "Region" : "Community"),
    heading(group.label),
    facts,
    ...("communities" in group ? communityList(group.communities) : []),
    ...neighbourList(atlas, group),
    ...tally("Games", members, (channel) => channel.game, (name) => name),
    ...tally("Languages", members, (channel) => channel.language, languageName),
    ...memberList(group, members, passing),
  ];
}

function communityList(communities: Community[]): HTMLElement[] {
  if (!communities.length) return [];
  const rows = communities.map((community) =>
    el("li", {}, swatch(community.color), link(community, community.label), el("span", { className: "number" }, count(community.size))),
  );
  return [el("h3", {}, "Communities"), arrows(el("ul", { className: "members" }, ...rows))];
}

function neighbourList(atlas: Atlas, group: Community | Region): HTMLElement[] {
  const all = neighbourGroups(atlas, group);
  const shared = atlas.amount === "shared_viewers";
  const kind = group.kind === "region" ? "regions" : "communities";
  const title = el("h3", {}, `Neighbouring ${kind}`);
  if (!all.length) return [title, el("p", { className: "empty" }, "No pair on this page connects it to others.")];
  const strongest = all[0]!.amount;
  const rows = all.slice(0, NEIGHBOURS_SHOWN).map(({ group: other, amount, pairs }) =>
    el(
      "li",
      { title: things(pairs, "pair"), properties: { "--share": String(amount / strongest), "--color": other.color } },
      swatch(other.color),
      link(other, other.label),
      el("span", { className: "number" }, shared ? count(amount) : weight(amount)),
    ),
  );
  const rest = all.length - rows.length;
  const unit = shared ? "Shared viewers, summed over the pairs of channels on this page; a viewer counts once per pair." : "Weights, summed over the pairs of channels on this page.";
  return [
    title,
    arrows(el("ul", { className: "weighed" }, ...rows)),
    el("p", { className: "note" }, `${unit}${rest > 0 ? ` And ${count(rest)} more.` : ""}`),
  ];
}

/** The shares of channels with each value; empty when every value is unknown. */
function tally(title: string, members: Channel[], value: (channel: Channel) => string | null, write: (name: string) => string): HTMLElement[] {
  const counts = new Map<string, number>();
  for (const member of members) {
    const name = value(member);
    if (name !== null) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  if (!counts.size) return [];
  const ranked = [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
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

function memberList(group: Community | Region, members: Channel[], passing: Set<number> | null): HTMLElement[] {
  const item = (channel: Channel) =>
    el(
      "li",
      { className: passing && !passing.has(channel.at) ? "out" : "" },
      swatch(channel.community?.color ?? group.color),
      link(channel, channel.name),
      el("span", { className: "number" }, channel.viewers === null ? "" : count(channel.viewers)),
    );
  const list = arrows(el("ul", { className: "members" }, ...members.slice(0, MEMBERS_FIRST).map(item)));
  const more = el("button", { type: "button", className: "more" }, `Show all ${count(members.length)}`);
  more.addEventListener("click", () => {
    list.append(...members.slice(MEMBERS_FIRST).map(item));
    list.querySelectorAll("a")[MEMBERS_FIRST]?.focus();
    more.remove();
  });
  return [el("h3", {}, "Channels by audience"), list, ...(members.length > MEMBERS_FIRST ? [more] : [])];
}
