// Keys and the wait for a working pipeline. The page is whole without this file.
"use strict";

(() => {
  const search = document.getElementById("q");
  const results = [...document.querySelectorAll(".results > li")];

  // Exact times in the viewer's zone, zone named; the server wrote UTC.
  const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  for (const time of document.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (!Number.isNaN(moment.getTime())) {
      time.title = `${time.title}\n${zone.format(moment)}`;
    }
  }

  const move = (step) => {
    const now = results.indexOf(document.activeElement.closest(".results > li"));
    const next = now < 0 ? (step > 0 ? 0 : results.length - 1) : now + step;
    if (next >= 0 && next < results.length) {
      results[next].focus();
      results[next].scrollIntoView({ block: "nearest" });
    }
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) {
      return;
    }
    const typing = event.target instanceof Element && event.target.closest("input, textarea, select");
    if (typing) {
      if (event.key === "Escape") {
        event.target.blur();
      }
      return;
    }
    if (event.key === "/" && search) {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === "j") {
      move(1);
    } else if (event.key === "k") {
      move(-1);
    } else if (event.key === "o") {
      document.activeElement.querySelector("a.original")?.click();
    }
  });

  // While records wait, say how many are left; the figures of the page change only when the reader asks for it.
  const working = document.querySelector("[data-waiting]");
  if (working) {
    const left = working.querySelector(".left");
    const ask = async () => {
      try {
        const answer = await fetch("/api/books", { headers: { Accept: "application/json" } });
        if (answer.ok) {
          const { waiting } = await answer.json();
          left.textContent = waiting > 0 ? `${waiting.toLocaleString("en")} records wait.` : "All records are done.";
          if (waiting === 0) {
            return;
          }
        }
      } catch {
        left.textContent = "The service does not answer; the figures on this page stay as they were.";
      }
      setTimeout(ask, 3000);
    };
    setTimeout(ask, 3000);
  }
})();
