"use strict";
(() => {
  const find = (selector) => document.querySelector(selector);
  const audio = find("audio"), view = find(".view"), track = find(".track"), playhead = find(".playhead");
  const zoom = find("#zoom"), now = find("#now"), list = find(".transcript");
  const seconds = Number(track.dataset.seconds);
  const lanes = [...document.querySelectorAll(".lane .plot")];
  const STEPS = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
  // In pixels: the narrowest segments with a short name and with an edge, the width of a letter, and between ticks.
  const SHORT_WIDTH = 24, EDGE_WIDTH = 8, LETTER_WIDTH = 7, TICK_WIDTH = 70;

  // The segments, in order of time. Chips hold the emotion as text, and its colour as a class.
  const segments = [...document.querySelectorAll(".transcript button")].map((button) => {
    const { start, end, lane } = button.dataset;
    return { button, chip: button.querySelector(".chip"), start: Number(start), end: Number(end), lane: Number(lane) };
  });
  const meanSeconds = segments.reduce((sum, { start, end }) => sum + end - start, 0) / segments.length;
  let current = -1;

  const clock = (time) => {
    const whole = Math.floor(time + 1e-6), two = (number) => String(number).padStart(2, "0");
    const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
    return (hours ? `${hours}:${two(minutes)}` : minutes) + `:${two(whole % 60)}`;
  };

  // Number of the last segment that starts at `time` or before; -1 before the first.
  const lastStarted = (time) => {
    let low = 0, high = segments.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (segments[middle].start <= time) low = middle + 1; else high = middle;
    }
    return low - 1;
  };

  // Number of the segment at `time`; -1 in a pause. Segments of other lanes may have started since it did.
  const segmentAt = (time) => {
    const last = lastStarted(time);
    for (let i = last; i >= 0 && i > last - 50; i--) if (time < segments[i].end) return i;
    return -1;
  };

  // What is drawn for the part of the recording in view only: the time axis and the names of emotions.
  const drawView = () => {
    const scale = track.clientWidth / seconds;
    const first = view.scrollLeft / scale, last = first + view.clientWidth / scale;
    const step = STEPS.find((value) => value * scale >= TICK_WIDTH) || 14400;
    const ticks = [];
    for (let i = Math.floor(first / step); i * step <= Math.min(last, seconds); i++) {
      const tick = document.createElement("span");
      tick.style.left = `${(100 * i * step) / seconds}%`;
      tick.textContent = clock(i * step) + (step < 1 && i % 2 ? ".5" : "");
      ticks.push(tick);
    }
    track.classList.toggle("dense", meanSeconds * scale < EDGE_WIDTH);
    find(".ticks").replaceChildren(...ticks);
    for (const label of document.querySelectorAll(".label")) label.remove();
    for (const segment of segments) {
      if (segment.start > last) break;
      const width = (segment.end - segment.start) * scale;
      if (segment.end < first || !segment.chip || width < SHORT_WIDTH) continue;
      const name = segment.chip.querySelector(".category").textContent;
      const label = document.createElement("span");
      label.className = segment.chip.className.replace("chip", "label");
      label.textContent = width > LETTER_WIDTH * (name.length + 1) ? name : name.slice(0, 3);
      label.style.left = `${(100 * segment.start) / seconds}%`;
      label.style.width = `${(100 * (segment.end - segment.start)) / seconds}%`;
      lanes[segment.lane].append(label);
    }
  };
  let waiting = false;
  const drawSoon = () => {
    if (!waiting) requestAnimationFrame(() => { waiting = false; drawView(); });
    waiting = true;
  };

  const setZoom = (value, time = audio.currentTime) => {
    track.style.width = `${100 * 2 ** value}%`;
    view.scrollLeft = (time / seconds) * track.clientWidth - view.clientWidth / 2;
    drawSoon();
  };

  const mark = (number) => {
    const before = segments[current], after = segments[number];
    current = number;
    if (before) before.button.removeAttribute("aria-current");
    if (!after) return;
    after.button.setAttribute("aria-current", "true");
    if (!list.contains(document.activeElement)) choose(number);
    const { offsetTop, offsetHeight } = after.button.parentElement;
    if (offsetTop < list.scrollTop || offsetTop + offsetHeight > list.scrollTop + list.clientHeight)
      list.scrollTop = offsetTop - list.clientHeight / 3;
  };

  // Only one segment of the transcript is in the tab order: that which was chosen or played last.
  let chosen = 0;
  const choose = (number) => {
    segments[chosen].button.tabIndex = -1;
    segments[chosen = number].button.tabIndex = 0;
  };

  const showTime = () => {
    const time = audio.currentTime, number = segmentAt(time), x = (time / seconds) * track.clientWidth;
    const changed = number !== current;
    playhead.style.left = `${(100 * time) / seconds}%`;
    if (changed) mark(number);
    const words = number < 0 ? [] : [...segments[number].button.children].slice(1).map((part) => part.cloneNode(true));
    now.replaceChildren(`${clock(time)} `, ...words.flatMap((part) => [part, " "]));
    view.setAttribute("aria-valuenow", Math.round(time));
    if (changed || audio.paused) view.setAttribute("aria-valuetext", now.textContent.trim()); // read aloud
    if (x < view.scrollLeft || x > view.scrollLeft + view.clientWidth) view.scrollLeft = x - view.clientWidth / 10;
  };

  const jump = (time) => {
    audio.currentTime = Math.min(Math.max(time, 0), seconds);
    showTime();
  };
  const play = () => audio.play().catch(() => {}); // the event "error" reports why
  const jumpBySegment = (step) => {
    const number = Math.min(Math.max(lastStarted(audio.currentTime) + step, 0), segments.length - 1);
    if (segments.length) jump(segments[number].start);
  };

  const KEYS = {
    " ": () => (audio.paused ? play() : audio.pause()),
    ArrowLeft: () => jump(audio.currentTime - 5),
    ArrowRight: () => jump(audio.currentTime + 5),
    PageUp: () => jumpBySegment(-1),
    PageDown: () => jumpBySegment(1),
    Home: () => jump(0),
    End: () => jump(seconds),
  };
  document.addEventListener("keydown", (event) => {
    const anywhere = [" ", "ArrowLeft", "ArrowRight"].includes(event.key) && event.target === document.body;
    if (event.ctrlKey || event.metaKey || event.altKey || !(anywhere || event.target === view)) return;
    if (!KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  view.addEventListener("click", (event) => {
    const { left, width } = track.getBoundingClientRect();
    jump(((event.clientX - left) / width) * seconds);
  });
  if (list) {
    list.addEventListener("click", (event) => {
      const number = segments.findIndex(({ button }) => button.contains(event.target));
      if (number < 0) return;
      choose(number);
      jump(segments[number].start);
      play();
    });
    list.addEventListener("keydown", (event) => {
      const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!step || !segments[chosen + step]) return;
      event.preventDefault();
      choose(chosen + step);
      segments[chosen].button.focus();
    });
    for (const { button } of segments) button.tabIndex = -1;
    choose(0);
  }

  audio.addEventListener("timeupdate", showTime);
  audio.addEventListener("seeked", showTime);
  audio.addEventListener("error", () => { find("#failure").hidden = false; });
  if (audio.error) find("#failure").hidden = false;
  zoom.max = Math.max(Math.ceil(2 * Math.log2(seconds / 10)) / 2, 0); // at most 10 seconds in view
  zoom.parentElement.hidden = zoom.max === "0";
  zoom.addEventListener("input", () => setZoom(Number(zoom.value)));
  view.addEventListener("scroll", drawSoon);
  new ResizeObserver(drawSoon).observe(view);
  window.addEventListener("beforeprint", () => { zoom.value = 0; setZoom(0); drawView(); });
  showTime();
  drawView();
})();
