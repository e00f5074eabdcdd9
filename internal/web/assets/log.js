// The page of a log: lines come as they are printed. They are put in as text, never as HTML, and no more than the last few thousand stay.
(function () {
  "use strict";
  var box = document.getElementById("log");
  var state = document.getElementById("logstate");
  var button = document.getElementById("logfollow");
  if (!box) return;
  var most = 5000;
  var marks = { e: "!", "#": "#" };
  var classes = { e: "err", "#": "note" };
  var held = []; // what has come while it was paused
  var dropped = 0;
  var paused = false;
  var source = null;
  var over = false;

  box.scrollTop = box.scrollHeight;
  if (!box.dataset.stream || !window.EventSource) return;
  button.hidden = false;

  function part(name, text) {
    var s = document.createElement("span");
    if (name) s.className = name;
    s.textContent = text;
    return s;
  }

  function put(lines) {
    var none = document.getElementById("lognone");
    if (none && lines.length) none.remove();
    var all = document.createDocumentFragment();
    lines.forEach(function (l) {
      var row = document.createElement("div");
      if (classes[l[1]]) row.className = classes[l[1]];
      row.append(part("at", l[0]), part("from", marks[l[1]] || "│"), part("", l[2]));
      all.append(row);
    });
    box.append(all);
    while (box.childElementCount > most) box.firstElementChild.remove();
    box.scrollTop = box.scrollHeight;
  }

  function say() {
    var text = over ? "It has ended" : source && source.readyState === 1 ? "Live" : "Connecting";
    if (paused && held.length) text += ", " + (held.length + dropped) + " new lines wait";
    if (state.textContent !== text) state.textContent = text;
  }

  function pause(on) {
    if (paused === on) return;
    paused = on;
    button.textContent = paused ? "Follow" : "Pause";
    if (!paused) {
      put(held);
      held = [];
      dropped = 0;
      if (over) button.hidden = true;
    }
    say();
  }

  button.addEventListener("click", function () {
    pause(!paused);
  });

  // Who scrolls up wants to read; who comes back to the end wants to follow.
  box.addEventListener("scroll", function () {
    var atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    if (!atEnd && !paused && !over) pause(true);
    else if (atEnd && paused) pause(false);
  });

  function stop() {
    if (source) source.close();
    source = null;
  }

  // What a browser gives up, because a server answered that it cannot just now, is begun again after the last line that came.
  var from = new URL(box.dataset.stream, location.href);

  function start() {
    source = new EventSource(from);
    source.addEventListener("lines", take);
    source.addEventListener("over", function () {
      over = true;
      stop();
      if (!held.length) button.hidden = true;
      say();
    });
    source.addEventListener("reload", function () {
      stop();
      location.reload();
    });
    source.onopen = say;
    source.onerror = function () {
      say();
      if (source && source.readyState === EventSource.CLOSED) {
        stop();
        setTimeout(start, 3000);
      }
    };
  }

  function take(e) {
    var lines = JSON.parse(e.data);
    if (e.lastEventId) from.searchParams.set("after", e.lastEventId);
    if (!paused) put(lines);
    else {
      held = held.concat(lines);
      if (held.length > most) {
        dropped += held.length - most;
        held = held.slice(-most);
      }
    }
    say();
  }

  start();
  window.addEventListener("pagehide", stop);
  window.addEventListener("pageshow", function (e) {
    if (e.persisted) location.reload();
  });
})();
