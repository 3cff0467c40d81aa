// Gives the box that stands in for a list with search the name of the list: it is made without one.
"use strict";
django.jQuery(() => {
  for (const list of document.querySelectorAll("select.admin-autocomplete")) {
    const label = document.querySelector(`label[for="${list.id}"]`);
    const box = document.getElementById(`select2-${list.id}-container`);
    if (label && box) box.setAttribute("aria-label", label.textContent.trim());
  }
});
