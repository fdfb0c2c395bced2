// Loaded after require.js on pages with widgets: starts the widget embedder with this book's own folder in the place of
// a CDN, so that icon fonts and widget code are asked of nobody else.
(() => {
  const here = new URL(".", document.currentScript.src).href;
  const embedder = document.createElement("script");
  embedder.dataset.jupyterWidgetsCdn = here + "vendor/";
  embedder.src = here + "vendor/@jupyter-widgets/html-manager/dist/embed-amd.js";
  document.head.append(embedder);
})();
