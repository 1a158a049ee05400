// OAuth 2.0 Form Post Response Mode: sends the one form of the page on. It is on no other page.
document.getElementById("form-post").submit();
