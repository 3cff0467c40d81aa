// Says on the page why a passkey did not work, where allauth's script would tell the console alone.
document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  const notice = document.getElementById("passkey-failed");
  const reason = event.detail.exception;
  const said = {
    NotAllowedError: "It was cancelled, or took too long. Try again.",
    InvalidStateError: "This key is registered already.",
    SecurityError: "Browsers use passkeys at the hub's own https address only.",
    NotSupportedError: "This browser or key can't do that.",
  };
  notice.querySelector("p").textContent = (reason && said[reason.name]) || "The passkey did not work. Try again, or sign in another way.";
  notice.hidden = false;
});
