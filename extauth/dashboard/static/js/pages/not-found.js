// What stands at an address that is no page.

import { h } from "../dom.js";
import { card, empty, pageHead } from "../parts/basics.js";

export async function page() {
  return {
    title: "Not found",
    node: h(
      "div",
      {},
      pageHead("Not found"),
      card(
        "There is no such page",
        {},
        empty("Nothing is shown at this address", [
          "It may be for operators only, or mistyped. ",
          h("a", { href: "/dashboard/" }, "Go to the overview"),
          ".",
        ]),
      ),
    ),
  };
}
