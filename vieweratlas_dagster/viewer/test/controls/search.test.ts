import { expect, test } from "vitest";
import { buildIndex, type Entry, find, fold } from "../../src/controls/search";
import { decode } from "../../src/data/data";
import { encoded } from "../fixture";

const entry = (name: string, viewers: number): Entry => ({ target: null as never, name, folded: fold(name), viewers });

test("whole name, then beginning, then a word's beginning, then anywhere; larger audience first", () => {
  const index = [
    entry("supertim", 900),
    entry("the_tim", 800),
    entry("timber", 5),
    entry("timmy", 700),
    entry("tim", 1),
    entry("anna", 999),
  ];
  expect(find(index, " Tim ").map((found) => found.name)).toEqual(["tim", "timmy", "timber", "the_tim", "supertim"]);
  expect(find(index, "tim", 2).map((found) => found.name)).toEqual(["tim", "timmy"]);
  expect(find(index, "zzz")).toEqual([]);
  expect(find(index, "  ")).toEqual([]);
});

test("accents and case do not matter, and regions and communities are found too", () => {
  const index = buildIndex(decode(encoded()));
  expect(find(index, "POKEMON").map((found) => found.name)).toEqual(["Pokémon"]);
  expect(find(index, "german")[0]!.target).toMatchObject({ kind: "region", id: 7 });
  expect(find(index, "anna")[0]!.target).toMatchObject({ name: "anna" });
});
