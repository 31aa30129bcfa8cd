/* What the page carries: texts in gzip and base64, in elements that no browser runs. */

/** Unpack the text of an element, and let go of the element. */
async function unpacked(id) {
  const element = document.getElementById(id);
  const binary = atob(element.textContent);
  element.remove();
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).text();
}

const unpackedValues = async (id) => JSON.parse(await unpacked(id));

let plotlyLoading = null;

/** plotly.js, which takes longer than all the rest: unpacked and run when it is needed first. */
function plotly() {
  plotlyLoading ??= unpacked('data-plotly').then((source) => {
    const script = document.createElement('script');
    script.textContent = source;
    document.head.append(script);
    return window.Plotly;
  });
  return plotlyLoading;
}
