// The camera of a computer, in a dialog. Phones have their own behind a file input.

import { html, useEffect, useRef, useState } from './htm-preact.js';

/** Browsers give the camera to pages of this machine and to those that came with TLS. */
export const hasCamera = () => Boolean(navigator.mediaDevices?.getUserMedia);

export function CameraDialog({ close, take }) {
  const dialog = useRef();
  const video = useRef();
  const [state, setState] = useState({ ready: false, words: 'The browser asks whether this page may use the camera.' });
  useEffect(() => {
    let stream;
    let gone = false;
    dialog.current.showModal();
    const stop = (of) => of?.getTracks().forEach((track) => track.stop());
    navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, facingMode: 'environment' } }).then(
      async (got) => {
        stream = got;
        if (gone) return stop(got);
        video.current.srcObject = got;
        await video.current.play();
        return setState({ ready: true, words: '' });
      },
      (error) => setState({ ready: false, words: `There is no picture from a camera: ${error.message || error.name}` }),
    );
    return () => {
      gone = true;
      stop(stream);
    };
  }, []);
  const shoot = () => {
    const { videoWidth: width, videoHeight: height } = video.current;
    const canvas = Object.assign(document.createElement('canvas'), { width, height });
    canvas.getContext('2d').drawImage(video.current, 0, 0);
    canvas.toBlob((blob) => {
      const name = `photograph ${new Date().toISOString().slice(0, 19).replaceAll(':', '.')}.jpg`;
      take([{ file: new File([blob], name, { type: 'image/jpeg' }), name }]);
      close();
    }, 'image/jpeg', 0.95);
  };
  return html`<dialog class="camera" ref=${dialog} onClose=${close} aria-label="Take a photograph">
    <video ref=${video} playsinline muted hidden=${!state.ready} aria-label="What the camera sees"></video>
    <p role="status">${state.words}</p>
    <div class="ways">
      <button type="button" class="primary" disabled=${!state.ready} onClick=${shoot}>Take it</button>
      <button type="button" onClick=${() => dialog.current.close()}>Close</button>
    </div>
  </dialog>`;
}
