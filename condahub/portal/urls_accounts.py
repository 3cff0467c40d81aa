"""Signing in and out below /accounts/, under the names that allauth has for them too."""

from django.urls import URLPattern, path

from condahub.portal.views import signing

urlpatterns: list[URLPattern] = [
    path("login/", signing.SignInView.as_view(), name="account_login"),
    path("logout/", signing.sign_out, name="account_logout"),
]
