/**
 * The light or dark theme (the reader's choice, else the system's), and the colours for the canvases.
 *
 * The colours are custom properties in style.css.
 */

export interface Colors {
  sea: string;
  shallows: string[];
  paper: string;
  ink: string;
  muted: string;
  halo: string;
  accent: string;
  lone: string;
  /** The colours of compared channels. */
  marks: string[];
  dark: boolean;
}

const KEY = "vieweratlas-theme";
let chosen: string | null = null;
const system = matchMedia("(prefers-color-scheme: dark)");

function stored(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // browsers may forbid storage for local files
  }
}

function apply(): void {
  const dark = (chosen ?? stored() ?? (system.matches ? "dark" : "light")) === "dark";
  document.documentElement.dataset["theme"] = dark ? "dark" : "light";
}

export function colors(): Colors {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string) => style.getPropertyValue(name).trim();
  return {
    sea: read("--sea"),
    shallows: [read("--shallow-2"), read("--shallow-1")],
    paper: read("--paper"),
    ink: read("--ink"),
    muted: read("--muted"),
    halo: read("--halo"),
    accent: read("--accent"),
    lone: read("--lone"),
    marks: [read("--one"), read("--two"), read("--three")],
    dark: document.documentElement.dataset["theme"] === "dark",
  };
}

/** Sets the theme now and whenever the system or the button changes it. */
export function startTheme(button: HTMLButtonElement, changed: () => void): void {
  const update = () => {
    apply();
    button.setAttribute("aria-pressed", String(colors().dark));
    changed();
  };
  button.addEventListener("click", () => {
    chosen = colors().dark ? "light" : "dark";
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // without storage, the choice lasts until the page is closed
    }
    update();
  });
  system.addEventListener("change", update);
  update();
}
