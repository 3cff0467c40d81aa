// Says on the page why a passkey did not work, where allauth's script would tell the console alone.
const passkeyWords = document.currentScript.dataset;
document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  const notice = document.getElementById("passkey-failed");
  const reason = event.detail.exception;
  const said = {
    NotAllowedError: passkeyWords.cancelled,
    InvalidStateError: passkeyWords.known,
    SecurityError: passkeyWords.insecure,
    NotSupportedError: passkeyWords.unable,
  };
  notice.querySelector("p").textContent = (reason && said[reason.name]) || passkeyWords.failed;
  notice.hidden = false;
});
