// What a page cannot do by itself: keep what it shows up to date, and a few conveniences. Every page is whole without it.
(function () {
  "use strict";
  var live = document.getElementById("live");
  var mark = document.getElementById("livemark");
  var source = null;
  var over = false;

  // What a reader has chosen or typed is theirs: news do not take it back. But what a box or a choice stands for is the server's to say:
  // when a list moves on, no tick may come to stand beside something else.
  var kept = { open: true, checked: true, value: true, selected: true };
  var fixed = "input[type=hidden],input[type=checkbox],input[type=radio],option";
  var chosen = new Map();

  function show(html) {
    Idiomorph.morph(live, html, { // made by the server's templates, which escape
      morphStyle: "innerHTML",
      ignoreActiveValue: true,
      callbacks: {
        beforeAttributeUpdated: function (name, node) {
          if (name === "value" && node.matches && node.matches(fixed)) return true;
          return !(kept[name] && node.matches && node.matches("details,input,select,option,textarea"));
        },
        beforeNodeMorphed: function (from, to) {
          if (from.nodeType !== 1) return true;
          if (from.matches("input[type=checkbox],input[type=radio]") && to.getAttribute("value") !== from.getAttribute("value")) from.checked = to.hasAttribute("checked");
          if (from.matches("select")) chosen.set(from, from.value);
          return !from.hasAttribute("data-own");
        },
        afterNodeMorphed: function (from) {
          if (!chosen.has(from)) return;
          if (from.value !== chosen.get(from)) from.value = chosen.get(from);
          if (from.selectedIndex < 0) from.selectedIndex = 0; // what was chosen is gone
          chosen.delete(from);
        },
      },
    });
    document.dispatchEvent(new CustomEvent("stint:news"));
  }

  function say(text) {
    if (mark) mark.textContent = text;
  }

  function stop() {
    if (source) source.close();
    source = null;
  }

  // A browser opens six connections to a server at most, so a page that nobody sees has none.
  function start() {
    if (source || over || !live || !live.dataset.live || !window.EventSource) return;
    source = new EventSource(live.dataset.live);
    source.addEventListener("page", function (e) {
      show(JSON.parse(e.data));
      say("Live, as of " + new Date().toLocaleTimeString());
    });
    source.addEventListener("reload", function () {
      over = true;
      stop();
      location.reload();
    });
    source.addEventListener("over", function () {
      over = true;
      stop();
      say("");
    });
    source.onerror = function () {
      say("No news just now; trying again");
      if (source && source.readyState === EventSource.CLOSED) {
        stop();
        setTimeout(start, 3000);
      }
    };
  }

  document.addEventListener("visibilitychange", function () {
    if (document.hidden) stop();
    else start();
  });
  window.addEventListener("pagehide", stop);
  window.addEventListener("pageshow", start);
  start();

  document.addEventListener("click", function (e) {
    var t = e.target.closest("[data-copy]");
    if (t && navigator.clipboard) {
      navigator.clipboard.writeText(t.dataset.copy).then(function () {
        t.textContent = "Copied";
      });
    }
    var all = e.target.closest("[data-all]");
    if (all) {
      document.querySelectorAll('input[type=checkbox][name="' + all.dataset.all + '"]').forEach(function (box) {
        box.checked = all.checked;
      });
    }
  });

  // A form that filters is sent as soon as something is chosen.
  document.addEventListener("change", function (e) {
    var f = e.target.form;
    if (f && f.classList.contains("filter") && e.target.tagName === "SELECT") f.requestSubmit();
  });
})();
