import { expect, test } from "vitest";
import { decode } from "../../src/data/data";
import { neighbourGroups, pairsOnPage } from "../../src/data/groups";
import { encoded } from "../fixture";

const rows = encoded();
const atlas = decode(rows);

test("every pair on the page comes once, also one that only one end keeps", () => {
  const found = [...pairsOnPage(atlas)].map(([one, other, amount]) => `${one.name}-${other.name} ${amount}`);
  expect(found.sort()).toEqual(["anna-bert 50", "anna-cleo 60", "bert-dora 7", "cleo-dora 8"]);
});

test("neighbouring communities and regions, those that share most first", () => {
  const of = (group: Parameters<typeof neighbourGroups>[1]) => neighbourGroups(atlas, group).map(({ group: { label }, amount, pairs }) => [label, amount, pairs]);
  const [chess, pokemon, late] = atlas.communities;
  expect(of(chess!)).toEqual([["Pokémon", 60, 1], ["Late night", 7, 1]]);
  expect(of(pokemon!)).toEqual([["Chess", 60, 1], ["Late night", 8, 1]]);
  expect(of(late!)).toEqual([["Pokémon", 8, 1], ["Chess", 7, 1]]);
  expect(of(atlas.regions[0]!)).toEqual([["English", 15, 2]]);
});
