/** The list of regions and their communities. */
import type { Atlas, Community, Region } from "./data";
import { el, nameOf, swatch } from "./dom";
import { count } from "./format";
import { hashOf, type Selection } from "./state";

const row = (group: Community | Region) =>
  el(
    "a",
    { href: hashOf(group) },
    swatch(group.color),
    el("span", { className: "name" }, nameOf(group.label)),
    el("span", { className: "number", title: "channels" }, count(group.size)),
  );

export function renderLegend(legend: HTMLElement, atlas: Atlas): void {
  const homeless = atlas.communities.filter((community) => !community.region);
  const lone = atlas.channels.filter((channel) => !channel.community).length;
  legend.replaceChildren(
    el("h2", {}, "Regions and communities"),
    el(
      "ul",
      {},
      ...atlas.regions.map((region) =>
        el("li", { className: "region" }, row(region), el("ul", {}, ...region.communities.map((community) => el("li", {}, row(community))))),
      ),
      ...homeless.map((community) => el("li", {}, row(community))),
    ),
    ...(lone > 0 ? [el("p", { className: "note" }, swatch("var(--lone)"), `${count(lone)} without a community`)] : []),
  );
}

/** Marks the selected entry. */
export function markLegend(legend: HTMLElement, selection: Selection): void {
  const current = selection.kind === "community" || selection.kind === "region" ? hashOf(selection.group) : null;
  for (const link of legend.querySelectorAll("a")) {
    if (link.getAttribute("href") === current) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}
