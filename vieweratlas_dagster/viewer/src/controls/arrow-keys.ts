/** Arrow keys in lists: up and down, Home and End move the focus among the entries of a list. */

const LIST = "[data-arrows]";
const ENTRIES = "li > a, li > label > input, tbody th > a";

/** Marks a list (or table body) for the arrow keys. */
export function arrows<E extends HTMLElement>(list: E): E {
  list.dataset["arrows"] = "";
  return list;
}

export function startArrows(): void {
  document.addEventListener("keydown", (event) => {
    const here = event.target instanceof HTMLElement ? event.target : null;
    const list = here?.closest(LIST);
    if (!here || !list || event.altKey || event.ctrlKey || event.metaKey) return;
    const entries = [...list.querySelectorAll<HTMLElement>(ENTRIES)].filter((entry) => entry.offsetParent !== null);
    // The focus may be on a different link of the row.
    const at = entries.findIndex((entry) => entry === here || entry.closest("tr, li") === here.closest("tr, li"));
    const next: Record<string, number> = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: entries.length - 1 };
    const target = event.key in next ? entries[next[event.key]!] : undefined;
    if (at < 0 || !target) return;
    event.preventDefault();
    target.focus();
  });
}
