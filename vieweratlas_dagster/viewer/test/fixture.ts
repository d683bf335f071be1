/** A small atlas as the page embeds it: two regions, three communities, five channels, one of them alone. */
import type { Encoded } from "../src/data/data";

export function encoded(): Encoded {
  return {
    format: 1,
    facts: { title: "Test" },
    published: { min_shared: 5, neighbours_kept: 2, pairs: 7, pairs_withheld: 1, pairs_cut: 0 },
    games: ["Chess", "Pokémon"],
    languages: ["de", "en"],
    regions: {
      id: [7, 9], label: ["German", "English"], short: ["German", "EN"], reason: ["language", "language"],
      size: [3, 1], viewers: [600, 10], color: ["#aa0000", "#00aa00"],
    },
    communities: {
      id: [1, 2, 4], label: ["Chess", "Pokémon", "Late night"], short: ["Chess", "Pokémon", "Late night"], reason: ["game", "game", "hours"],
      size: [2, 1, 1], viewers: [500, 100, 10], color: ["#aa1111", "#aa2222", "#11aa11"], region: [0, 0, 1],
    },
    channels: {
      name: ["anna", "bert", "cleo", "dora", "emil"],
      viewers: [300, 200, 100, 10, null],
      game: [0, 0, 1, -1, -1],
      language: [0, 0, 0, 1, -1],
      community: [0, 0, 1, 2, -1],
      region: [0, 0, 0, 1, -1],
      x: [0, 1000, 5000, -10000, 0],
      y: [0, 1000, -5000, 2500, 9000],
      neighbours: [3, 2, 2, 3, 0],
    },
    edges: {
      amount: "shared_viewers",
      // anna-bert 50, anna-cleo 60, anna-dora 6, bert-dora 7, cleo-dora 8
      counts: [3, 1, 1, 0, 0],
      targets: [1, 1, 1, 2, 1],
      amounts: [50, 60, 6, 7, 8],
    },
  };
}
