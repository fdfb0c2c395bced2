// Loaded after require.js on pages with widgets.
(() => {
  // Widgets ask for their labels' mathematics to be typeset by MathJax 2 (MathJax.Hub.Queue); the book has MathJax 3.
  // Before it is loaded, window.MathJax is its configuration; once loaded, it is another object: both get the old entry.
  let tellLoaded;
  const loaded = new Promise((resolve) => (tellLoaded = resolve));
  const Hub = {
    Queue: ([, , element]) => loaded.then(() => window.MathJax.typesetPromise([element])),
  };
  if (window.MathJax) {
    window.MathJax.Hub = Hub;
    // In labels of widgets, as in Jupyter, mathematics stands between dollars.
    window.MathJax.tex = { inlineMath: [["$", "$"], ["\\(", "\\)"]] };
    window.MathJax.startup = {
      ready() {
        window.MathJax.startup.defaultReady();
        window.MathJax.Hub = Hub;
        window.MathJax.startup.promise.then(tellLoaded);
      },
    };
  }

  // The widget embedder takes this book's own folder in the place of a CDN: icon fonts and code are asked of nobody else.
  const here = new URL(".", document.currentScript.src).href;
  const embedder = document.createElement("script");
  embedder.dataset.jupyterWidgetsCdn = here + "vendor/";
  embedder.src = here + "vendor/@jupyter-widgets/html-manager/dist/embed-amd.js";
  document.head.append(embedder);
})();
