"""Signing in and out below /accounts/: of allauth's addresses those that the hub offers, under allauth's names."""

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from allauth.socialaccount import views as social
from allauth.socialaccount.providers.github import views as github
from allauth.socialaccount.providers.gitlab import views as gitlab
from allauth.socialaccount.providers.google import views as google
from allauth.socialaccount.providers.openid_connect import views as openid_connect
from allauth.usersessions import views as sessions
from django.urls import URLPattern, path, register_converter
from django.urls.converters import StringConverter

from condahub.portal.views.signing import FactorsView, LinkedView, SignInView, dressed, email, provider_once_more, provider_shown, sign_out


class Base36Converter(StringConverter):
    """How mails of a forgotten password name an account; what follows it has dashes of its own."""

    regex = "[0-9A-Za-z]+"


register_converter(Base36Converter, "base36")

urlpatterns: list[URLPattern] = [
    path("login/", dressed(SignInView.as_view()), name="account_login"),
    path("logout/", sign_out, name="account_logout"),
    path("inactive/", dressed(account.account_inactive), name="account_inactive"),
    path("signup/", dressed(account.signup), name="account_signup"),
    path("reauthenticate/", dressed(account.reauthenticate), name="account_reauthenticate"),
    path("reauthenticate/provider/", dressed(provider_once_more), name="account_reauthenticate_provider"),
    path("reauthenticate/provider/done/", dressed(provider_shown), name="account_reauthenticate_done"),
    path("email/", dressed(email), name="account_email"),
    path("confirm-email/", dressed(account.email_verification_sent), name="account_email_verification_sent"),
    path("confirm-email/<str:key>/", dressed(account.confirm_email), name="account_confirm_email"),
    path("password/reset/", dressed(account.password_reset), name="account_reset_password"),
    path("password/reset/done/", dressed(account.password_reset_done), name="account_reset_password_done"),
    path("password/reset/key/<base36:uidb36>-<str:key>/", dressed(account.password_reset_from_key), name="account_reset_password_from_key"),
    path("password/reset/key/done/", dressed(account.password_reset_from_key_done), name="account_reset_password_from_key_done"),
    path("2fa/", dressed(FactorsView.as_view()), name="mfa_index"),
    path("2fa/authenticate/", dressed(mfa.authenticate), name="mfa_authenticate"),
    path("2fa/reauthenticate/", dressed(mfa.reauthenticate), name="mfa_reauthenticate"),
    path("2fa/totp/activate/", dressed(totp.activate_totp), name="mfa_activate_totp"),
    path("2fa/totp/deactivate/", dressed(totp.deactivate_totp), name="mfa_deactivate_totp"),
    path("2fa/recovery-codes/", dressed(recovery_codes.view_recovery_codes), name="mfa_view_recovery_codes"),
    path("2fa/recovery-codes/generate/", dressed(recovery_codes.generate_recovery_codes), name="mfa_generate_recovery_codes"),
    path("2fa/webauthn/", dressed(webauthn.list_webauthn), name="mfa_list_webauthn"),
    path("2fa/webauthn/add/", dressed(webauthn.add_webauthn), name="mfa_add_webauthn"),
    path("2fa/webauthn/login/", dressed(webauthn.login_webauthn), name="mfa_login_webauthn"),
    path("2fa/webauthn/reauthenticate/", dressed(webauthn.reauthenticate_webauthn), name="mfa_reauthenticate_webauthn"),
    path("2fa/webauthn/keys/<int:pk>/edit/", dressed(webauthn.edit_webauthn), name="mfa_edit_webauthn"),
    path("2fa/webauthn/keys/<int:pk>/remove/", dressed(webauthn.remove_webauthn), name="mfa_remove_webauthn"),
    path("sessions/", dressed(sessions.list_usersessions), name="usersessions_list"),
    path("linked/", dressed(LinkedView.as_view()), name="socialaccount_connections"),
    path("linked/cancelled/", dressed(social.login_cancelled), name="socialaccount_login_cancelled"),
    path("linked/error/", dressed(social.login_error), name="socialaccount_login_error"),
    path("github/login/", dressed(github.oauth2_login), name="github_login"),
    path("github/login/callback/", dressed(github.oauth2_callback), name="github_callback"),
    path("gitlab/login/", dressed(gitlab.oauth2_login), name="gitlab_login"),
    path("gitlab/login/callback/", dressed(gitlab.oauth2_callback), name="gitlab_callback"),
    path("google/login/", dressed(google.oauth2_login), name="google_login"),
    path("google/login/callback/", dressed(google.oauth2_callback), name="google_callback"),
    path("oidc/<str:provider_id>/login/", dressed(openid_connect.login), name="openid_connect_login"),
    path("oidc/<str:provider_id>/login/callback/", dressed(openid_connect.callback), name="openid_connect_callback"),
]
