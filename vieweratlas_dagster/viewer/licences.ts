/** Collects the licence texts of the packages in the page, which must be distributed with it. */
import { readdirSync, readFileSync } from "node:fs";

const PACKAGE = /^(?:.*\/)?node_modules\/((?:@[^/]+\/)?[^/]+)\//;

/**
 * An HTML comment with the name, version and licence text of each package that the modules come from.
 * @param modules paths of everything that was bundled
 * @throws when a package does not contain a licence text
 */
export function licencesOf(modules: string[]): string {
  const packages = new Map<string, string>();
  for (const path of modules) {
    const found = PACKAGE.exec(path);
    if (found) packages.set(found[1]!, found[0]);
  }
  const texts = [...packages].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, folder]) => {
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    if (!file) throw new Error(`${name} has no licence text in ${folder}`);
    const { version } = JSON.parse(readFileSync(`${folder}package.json`, "utf8")) as { version: string };
    return `${name} ${version}\n\n${readFileSync(folder + file, "utf8").trim()}\n`;
  });
  // Two hyphens could end the comment.
  return `<!--\nThis page contains:\n\n${texts.join("\n").replaceAll("--", "- -")}-->\n`;
}
