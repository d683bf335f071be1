/** The floors of src: a file imports from its own floor and from those below it, and no imports form a circle. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect, test } from "vitest";

const FLOORS = ["main", "panel", "controls", "map", "data", "dom"];
const SRC = join(import.meta.dirname, "../src");

const files = readdirSync(SRC, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => name.replaceAll("\\", "/").replace(/\.ts$/, ""));

/** The files of src that a file imports, types included. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(SRC, `${file}.ts`), "utf8");
  const paths = [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"(\.[^"]+)"/g)].map((match) => match[1]!);
  return paths.map((path) => relative(SRC, join(SRC, dirname(file), path)).replaceAll("\\", "/"));
}

const imports = new Map(files.map((file) => [file, importsOf(file)]));
const floorOf = (file: string) => FLOORS.indexOf(file.split("/")[0]!);

test("every file stands on a floor, and every import is a file", () => {
  expect(files.filter((file) => floorOf(file) < 0)).toEqual([]);
  expect([...imports.values()].flat().filter((file) => !imports.has(file))).toEqual([]);
  expect([...imports.values()].flat().length).toBeGreaterThan(files.length);
});

test("no file imports from a floor above its own", () => {
  const upward = files.flatMap((file) => imports.get(file)!.filter((other) => floorOf(other) < floorOf(file)).map((other) => `${file} > ${other}`));
  expect(upward).toEqual([]);
});

test("no imports form a circle", () => {
  const done = new Set<string>();
  const circleFrom = (file: string, path: string[]): string[] | null => {
    if (path.includes(file)) return [...path, file];
    if (done.has(file)) return null;
    for (const other of imports.get(file)!) {
      const circle = circleFrom(other, [...path, file]);
      if (circle) return circle;
    }
    done.add(file);
    return null;
  };
  expect(files.map((file) => circleFrom(file, [])).filter(Boolean)).toEqual([]);
});
