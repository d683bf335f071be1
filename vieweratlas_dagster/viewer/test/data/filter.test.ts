import { expect, test } from "vitest";
import { decode } from "../../src/data/data";
import { choices, EVERYTHING, type Filter, isActive, passing, sizes } from "../../src/data/filter";
import { encoded } from "../fixture";

const atlas = decode(encoded());
const left = (filter: Partial<Filter>) => {
  const found = passing(atlas, { ...EVERYTHING, ...filter });
  return found && [...found].map((at) => atlas.channels[at]!.name);
};

test("without a filter nothing is counted out", () => {
  expect(isActive(EVERYTHING)).toBe(false);
  expect(left({})).toBeNull();
});

test.each([
  [{ games: ["Chess"] }, ["anna", "bert"]],
  [{ games: ["Chess", "Pokémon"] }, ["anna", "bert", "cleo"]],
  [{ languages: ["de"], games: ["Pokémon"] }, ["cleo"]],
  [{ languages: ["en"], games: ["Pokémon"] }, []],
  [{ least: 100 }, ["anna", "bert", "cleo"]],
  [{ most: 100 }, ["cleo", "dora"]],
  [{ least: 100, most: 200 }, ["bert", "cleo"]],
  [{ least: 0 }, ["anna", "bert", "cleo", "dora"]],
] as [Partial<Filter>, string[]][])("%j leaves %j", (filter, names) => expect(left(filter)).toEqual(names));

test("each choice says how many channels it would leave beside the other parts, in an order that stays", () => {
  expect(choices(atlas, EVERYTHING, "games")).toEqual([{ value: "Chess", channels: 2 }, { value: "Pokémon", channels: 1 }]);
  const chosen = { ...EVERYTHING, games: ["Pokémon"], most: 250 };
  expect(choices(atlas, chosen, "games")).toEqual([{ value: "Chess", channels: 1 }, { value: "Pokémon", channels: 1 }]);
  expect(choices(atlas, chosen, "languages")).toEqual([{ value: "de", channels: 1 }, { value: "en", channels: 0 }]);
});

test("sizes to choose from are round and inside what there is", () => {
  expect(sizes(atlas)).toEqual([20, 50, 100, 200]);
});
