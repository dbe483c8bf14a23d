// Begins: finds out who is signed in, and shows the sign-in or the frame with its pages.

import { whenSessionEnds } from "./api.js";
import { h, update } from "./dom.js";
import { showFrame } from "./frame.js";
import { tick } from "./parts/basics.js";
import { failure } from "./parts/failure.js";
import { leave } from "./router.js";
import { forget, restore, session } from "./session.js";
import { showSignIn } from "./sign-in.js";

const place = document.getElementById("app");

async function begin() {
  try {
    await restore();
    enter();
  } catch (error) {
    update(
      place,
      h("main", { class: "main" }, h("h1", { class: "unseen" }, "extauth"), failure(error, begin)),
    );
  }
}

function enter(isAfterSignIn = false) {
  if (session()) showFrame(place, { isAfterSignIn, onLeft: () => enterAgain("You are signed out.") });
  else showSignIn(place, { onSignedIn: () => enter(true) });
}

function enterAgain(reason) {
  leave();
  forget();
  for (const dialog of document.querySelectorAll("dialog")) dialog.remove();
  showSignIn(place, { reason, onSignedIn: () => enter(true) });
}

whenSessionEnds(() => {
  if (session())
    enterAgain(
      "Your session has ended: it was not used for a while, it was as old as sessions may get, or its key is " +
        "no longer good. Sign in to go on where you were.",
    );
});
setInterval(tick, 1000);
begin();
