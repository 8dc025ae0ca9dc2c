"""Secrets that vendors issue: one row each.

A row's facts (prefix, length, alphabet) are the vendor's; `source` names the vendor's page or a permissively licensed rule
set that states them: ``gitleaks`` is the default configuration of github.com/gitleaks/gitleaks (MIT), ``detect-secrets``
is github.com/Yelp/detect-secrets (Apache-2.0). Patterns are written for ASCII classes. Examples are made up by `fake`.
"""

from __future__ import annotations

from langchain_guard.scrub.checksums import is_generic_secret, is_mixed, is_numbered, plausible
from langchain_guard.scrub.rows import DASH, EDGE, END, NUMBER_EDGE, Row, fake

GITLEAKS = "gitleaks"
DETECT_SECRETS = "detect-secrets"
HEX = "0fade1cafe2babe3deed456789"
UPPER = "NOTREAL2KEY3FAKE4"
LOWER = "n0tareal1key2fake3"
LETTERS = "NotARealTokenFakeXyzQw"


def _row(
    kind: str, pattern: str, hit: str, source: str = GITLEAKS, *misses: str, edge: str = EDGE, end: str = END
) -> Row:
    return Row(kind, f"{edge}(?:{pattern}){end}", source, check=plausible, hits=(hit,), misses=misses)


def _named(kind: str, names: str, value: str, hit: str, source: str = GITLEAKS) -> Row:
    """A value without a form of its own, told by the vendor's name before it."""
    pattern = rf"(?i:(?<!(?<!\\)[A-Za-z])(?:{names}))(?![a-z])[\w .-]{{0,24}}[\"']?\s{{0,3}}(?:=>|:=|=|:|,)\s{{0,3}}[\"'`]?(?P<value>{value}){DASH}"
    return Row(kind, pattern, source, check=is_generic_secret, hits=(hit,))


UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"

VENDORS: tuple[Row, ...] = (
    # Clouds
    _row(
        "aws_key",
        r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA|AROA|AIDA|AGPA|ANPA|AIPA)[A-Z0-9]{16}",
        "AKIA" + fake(16, UPPER),
        "docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html",
        "AKIAIOSFODNN7EXAMPLE",
    ),
    Row(
        "aws_secret",
        r"(?i:(?<!(?<!\\)[A-Za-z])(?:aws|amazon|secret)[\w .-]{0,30}(?:key|secret|token)?)[\"']?\s{0,3}(?:=>|:=|=|:|,)\s{0,3}[\"'`]?(?P<value>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
        "docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html",
        check=plausible,
        hits=("aws_secret_access_key = " + fake(40),),
        misses=("secret: " + "a" * 40,),
    ),
    Row(
        "aws_secret",
        r"(?i:(?<!(?<!\\)[A-Za-z])aws_?session_?token)[\"']?\s{0,3}(?:=>|:=|=|:|,)\s{0,3}[\"'`]?(?P<value>[A-Za-z0-9/+=]{100,2048})",
        "docs.aws.amazon.com/STS/latest/APIReference/API_Credentials.html",
        check=plausible,
        hits=("AWS_SESSION_TOKEN=" + fake(120),),
    ),
    _row(
        "aws_bedrock_key",
        r"ABSK[A-Za-z0-9+/]{109,269}={0,2}",
        "ABSK" + fake(112),
        end=r"(?![A-Za-z0-9+/=]|_[A-Za-z0-9])",
    ),
    _row(
        "aws_bedrock_key",
        r"bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t[A-Za-z0-9+/=]{0,2048}",
        "bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t",
        end="",
    ),
    _row(
        "gcp_key",
        r"AIza[\w-]{35}",
        "AIza" + fake(35),
        "cloud.google.com/docs/authentication/api-keys",
        "AIza" + "a" * 35,
        end=DASH,
    ),
    _row(
        "gcp_oauth",
        r"GOCSPX-[\w-]{28}",
        "GOCSPX-" + fake(28),
        "developers.google.com/identity/protocols/oauth2",
        end=DASH,
    ),
    _row(
        "gcp_oauth",
        r"ya29\.[\w-]{20,}",
        "ya29." + fake(60),
        "developers.google.com/identity/protocols/oauth2",
        end="",
    ),
    _row("gcp_oauth", r"1//0[\w-]{40,}", "1//0" + fake(44), "developers.google.com/identity/protocols/oauth2", end=""),
    Row(
        "azure_key",
        r"(?i:(?<!(?<!\\)[A-Za-z])(?:AccountKey|SharedAccessKey|azure[\w .-]{0,20}key))[\"']?\s{0,3}[:=]\s{0,3}[\"']?[A-Za-z0-9+/]{42,86}={1,2}",
        "learn.microsoft.com/azure/storage/common/storage-account-keys-manage",
        check=plausible,
        hits=("AccountKey=" + fake(86) + "==",),
    ),
    _row(
        "azure_secret",
        r"[\w~.]{3}\dQ~[\w~.-]{31,34}",
        "aB18Q~" + fake(34),
        GITLEAKS,
        edge=EDGE + r"(?<![~.-])",
        end=r"(?![A-Za-z0-9~-]|_[A-Za-z0-9])",
    ),
    Row(
        "azure_sas",
        r"(?<!(?<!\\)[A-Za-z])sig=(?P<value>[A-Za-z0-9%/+]{43,60}(?:%3D|=){1,2})",
        "learn.microsoft.com/azure/storage/common/storage-sas-overview",
        check=plausible,
        hits=("?sv=2024-11-04&sig=" + fake(43) + "%3D",),
    ),
    _row(
        "azure_devops_key",
        r"[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}",
        fake(76) + "AZDO" + "aB1c",
        "learn.microsoft.com/azure/devops/organizations/accounts/use-personal-access-tokens-to-authenticate",
    ),
    _row("alibaba_key", r"LTAI[A-Za-z0-9]{12,26}", "LTAI" + fake(20)),
    _row("tencent_key", r"AKID[A-Za-z0-9]{32}", "AKID" + fake(32), "cloud.tencent.com/document/product/598/40488"),
    _row("digitalocean_token", r"do[opr]_v1_[0-9a-f]{64}", "dop_v1_" + fake(64, HEX)),
    _row(
        "digitalocean_key",
        r"DO(?:00|801)[A-Z0-9]{16,17}",
        "DO00" + fake(16, UPPER),
        "docs.digitalocean.com/products/spaces",
    ),
    _row("cloudflare_key", r"v1\.0-[0-9a-f]{24}-[0-9a-f]{146}", "v1.0-" + fake(24, HEX) + "-" + fake(146, HEX)),
    _row(
        "flyio_token",
        r"(?:fo1_[\w-]{43}|fm[12][ar]?_[A-Za-z0-9+/]{100,800}={0,3})",
        "fo1_" + fake(43),
        end=r"(?![A-Za-z0-9+/-]|_[A-Za-z0-9])",
    ),
    _row("heroku_key", r"HRKU-AA[\w-]{58}", "HRKU-AA" + fake(58), end=DASH),
    _named("heroku_key", "heroku", UUID, "HEROKU_API_KEY=0fade1ca-fe2b-abe3-deed-4567890fade1"),
    _row("scalingo_token", r"tk-us-[\w-]{48}", "tk-us-" + fake(48), end=DASH),
    _row(
        "planetscale_token",
        r"pscale_(?:tkn|oauth|pw)_[\w=.-]{32,64}",
        "pscale_tkn_" + fake(43),
        end=r"(?![A-Za-z0-9=-]|_[A-Za-z0-9])",
    ),
    _row(
        "supabase_key",
        r"sbp_[0-9a-f]{40}|sb_(?:secret|publishable)_[\w-]{20,60}",
        "sbp_" + fake(40, HEX),
        "supabase.com/docs/guides/api/api-keys",
        end=DASH,
    ),
    _row("neon_key", r"napi_[a-z0-9]{60,70}", "napi_" + fake(64, LOWER), "neon.com/docs/manage/api-keys"),
    _row("vercel_token", r"(?:vc[piark]|vercel)_[A-Za-z0-9_]{24,64}", "vcp_" + fake(40), "vercel.com/docs/rest-api"),
    _row(
        "railway_token",
        r"railway_[A-Za-z0-9_-]{20,64}",
        "railway_" + fake(32),
        "docs.railway.com/reference/public-api",
        end=DASH,
    ),
    _row("render_key", r"rnd_[A-Za-z0-9]{28,40}", "rnd_" + fake(32), "api-docs.render.com/reference/authentication"),
    _row("netlify_token", r"nfp_[A-Za-z0-9]{36,44}", "nfp_" + fake(36), "docs.netlify.com/api-and-cli-guides"),
    _row(
        "tailscale_key",
        r"tskey-[a-z]{2,10}-[A-Za-z0-9]{10,24}(?:CNTRL)?-[A-Za-z0-9]{16,48}",
        "tskey-auth-" + fake(16) + "-" + fake(32),
        "tailscale.com/kb/1085/auth-keys",
    ),
    _row(
        "vault_token",
        r"hv[bsr]\.[\w-]{24,}",
        "hvs." + fake(95),
        "developer.hashicorp.com/vault/docs/concepts/tokens",
        end=DASH,
    ),
    Row(
        "vault_token",
        EDGE + r"(?<!\.)s\.[A-Za-z0-9]{24}" + DASH,
        "developer.hashicorp.com/vault/docs/concepts/tokens",
        check=is_mixed,
        hits=("s." + fake(24),),
        misses=("s.makeKubeConfigController", "s.thisstringisalllowercase"),
    ),
    _row(
        "terraform_token",
        r"[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{60,70}",
        fake(14) + ".atlasv1." + fake(64),
        end=r"(?![A-Za-z0-9=-]|_[A-Za-z0-9])",
    ),
    _row("pulumi_token", r"pul-[0-9a-f]{40}", "pul-" + fake(40, HEX)),
    _row(
        "doppler_token",
        r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,44}",
        "dp.pt." + fake(43),
    ),
    _row("infracost_token", r"ico-[A-Za-z0-9]{32}", "ico-" + fake(32), edge=NUMBER_EDGE),
    _row("databricks_token", r"dapi[0-9a-f]{32}(?:-\d)?", "dapi" + fake(32, HEX), GITLEAKS, end=DASH),
    _row(
        "confluent_key",
        r"cflt[A-Za-z0-9+/]{60}",
        "cflt" + fake(60),
        "docs.confluent.io/cloud/current/security/authenticate",
    ),
    _row("clickhouse_key", r"4b1d[A-Za-z0-9]{38}", "4b1d" + fake(38)),
    _row("openshift_token", r"sha256~[\w-]{43}", "sha256~" + fake(43), end=DASH),
    _row(
        "age_key",
        r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}",
        "AGE-SECRET-KEY-1" + fake(58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"),
    ),
    _row(
        "yandex_key",
        r"AQVN[\w-]{35,38}|YC[\w-]{38}|t1\.[\w-]{1,100}={0,2}\.[\w-]{86}={0,2}",
        "AQVN" + fake(36),
        end=DASH,
    ),
    # Code hosts and package registries
    _row(
        "github_token",
        r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}",
        "ghp_" + fake(36),
        "docs.github.com/authentication/keeping-your-account-and-data-secure/about-authentication-to-github",
        "ghp_" + "x" * 36,
    ),
    _row("github_token", r"v1\.[0-9a-f]{40}", "v1." + fake(40, HEX), "docs.github.com/rest/apps/apps"),
    _row(
        "gitlab_token",
        r"gl(?:pat|ptt|dt|rt|rtr|cbt|ft|soat|imt|agent|oas|ffct|wt)-[\w-]{19,300}(?:\.[\w-]{1,20}){0,3}|GR1348941[\w-]{20}|_gitlab_session=[0-9a-z]{32}",
        "glpat-" + fake(20),
        "docs.gitlab.com/security/tokens",
        end="",
    ),
    _row(
        "bitbucket_token",
        r"ATBB[A-Za-z0-9]{32}|ATCTT3xFfGN0[\w=-]{140,250}",
        "ATBB" + fake(32),
        "support.atlassian.com/bitbucket-cloud/docs/access-tokens",
        end=r"(?![A-Za-z0-9=-]|_[A-Za-z0-9])",
    ),
    _row("atlassian_token", r"ATATT3[\w=-]{150,250}", "ATATT3" + fake(186), end=r"(?![A-Za-z0-9=-]|_[A-Za-z0-9])"),
    _row("npm_token", r"npm_[A-Za-z0-9]{36}", "npm_" + fake(36), "docs.npmjs.com/about-access-tokens"),
    _row(
        "npm_token",
        r"//[\w.-]{4,100}/:_authToken=(?P<value>[\w+/=.~-]{16,200})",
        "//registry.npmjs.org/:_authToken=" + fake(36),
        "docs.npmjs.com/using-private-packages-in-a-ci-cd-workflow",
        edge="",
        end="",
    ),
    _row("pypi_token", r"pypi-Ag[\w-]{50,}", "pypi-AgEIcHlwaS5vcmc" + fake(80), "pypi.org/help/#apitoken", end=""),
    _row("rubygems_token", r"rubygems_[0-9a-f]{48}", "rubygems_" + fake(48, HEX)),
    _row("clojars_token", r"CLOJARS_[A-Za-z0-9]{60}", "CLOJARS_" + fake(60)),
    _row("crates_token", r"cio[A-Za-z0-9]{32}", "cio" + fake(32), "doc.rust-lang.org/cargo/reference/publishing.html"),
    _row(
        "nuget_key", r"oy2[a-z0-9]{43}", "oy2" + fake(43, LOWER), "learn.microsoft.com/nuget/nuget-org/scoped-api-keys"
    ),
    _row(
        "docker_token",
        r"dckr_(?:pat|oat)_[\w-]{27,40}",
        "dckr_pat_" + fake(27),
        "docs.docker.com/security/for-developers/access-tokens",
        end=DASH,
    ),
    _row(
        "artifactory_key",
        r"AKC[A-Za-z0-9]{12,100}|cmVmd[A-Za-z0-9]{59}|AP[A-Fa-f0-9][A-Za-z0-9]{70,90}",
        "AKCp" + fake(69),
        "detect-secrets",
    ),
    _row(
        "jfrog_token",
        r"cmVmdGtu[A-Za-z0-9+/=]{40,120}",
        "cmVmdGtu" + fake(56),
        "jfrog.com/help/r/jfrog-platform-administration-documentation/access-tokens",
        end="",
    ),
    _row("sourcegraph_token", r"sgp_(?:(?:[0-9a-fA-F]{16}|local)_)?[0-9a-fA-F]{40}", "sgp_" + fake(40, HEX)),
    _row("sonar_token", r"sq[upa]_[0-9a-f]{40}", "squ_" + fake(40, HEX)),
    _row("codecov_token", r"codecov_[A-Za-z0-9]{32,40}", "codecov_" + fake(32)),
    _row(
        "buildkite_token", r"bkua_[0-9a-f]{40}", "bkua_" + fake(40, HEX), "buildkite.com/docs/apis/managing-api-tokens"
    ),
    _row(
        "circleci_token",
        r"CCIP(?:AT|RJ)_[A-Za-z0-9]{22}_[0-9a-f]{40}",
        "CCIPAT_" + fake(22) + "_" + fake(40, HEX),
        "circleci.com/docs/managing-api-tokens",
    ),
    _row(
        "launchdarkly_key",
        r"(?:sdk|mob|api)-" + UUID,
        "sdk-0fade1ca-fe2b-abe3-deed-4567890fade1",
        "launchdarkly.com/docs/home/account/api",
    ),
    # Language models
    _row(
        "openai_key",
        r"sk-(?!ant-|or-|lf-)(?:proj-|svcacct-|admin-|None-)?[\w-]{20,}",
        "sk-proj-" + fake(74) + "T3BlbkFJ" + fake(74),
        "platform.openai.com/docs/api-reference/authentication",
        "<task-notification-summary-identifier>",
        "sk-" + "x" * 40,
        edge=EDGE + r"(?<!-)",
        end="",
    ),
    _row(
        "anthropic_key",
        r"sk-ant-[a-z0-9]{2,12}-[\w-]{32,}",
        "sk-ant-api03-" + fake(93) + "AA",
        "docs.anthropic.com/en/api",
        end="",
    ),
    _row(
        "huggingface_token",
        r"hf_[A-Za-z0-9]{34,40}|api_org_[A-Za-z0-9]{34}",
        "hf_" + fake(34, LETTERS),
        "huggingface.co/docs/hub/security-tokens",
    ),
    _row(
        "langsmith_key",
        r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}|ls__[0-9a-f]{32}",
        "lsv2_pt_" + fake(32, HEX) + "_" + fake(10, HEX),
        "docs.smith.langchain.com",
    ),
    _row("langfuse_key", r"(?:sk|pk)-lf-" + UUID, "sk-lf-0fade1ca-fe2b-abe3-deed-4567890fade1", "langfuse.com/docs"),
    _row("groq_key", r"gsk_[A-Za-z0-9]{32,64}", "gsk_" + fake(52), "console.groq.com/docs"),
    _row("xai_key", r"xai-[A-Za-z0-9_-]{70,90}", "xai-" + fake(80), "docs.x.ai", end=DASH),
    _row("perplexity_key", r"pplx-[A-Za-z0-9]{32,64}", "pplx-" + fake(48)),
    _row(
        "openrouter_key",
        r"sk-or-(?:v1-)?[0-9a-f]{48,64}",
        "sk-or-v1-" + fake(64, HEX),
        "openrouter.ai/docs/api-reference/authentication",
    ),
    _row("nvidia_key", r"nvapi-[\w-]{60,80}", "nvapi-" + fake(64), "docs.api.nvidia.com", end=DASH),
    _row("replicate_token", r"r8_[A-Za-z0-9]{37,40}", "r8_" + fake(37), "replicate.com/docs/reference/http"),
    _row("fireworks_key", r"fw_[A-Za-z0-9]{20,40}", "fw_" + fake(24), "docs.fireworks.ai"),
    _row("cerebras_key", r"csk-[a-z0-9]{40,60}", "csk-" + fake(48, LOWER), "inference-docs.cerebras.ai"),
    _row("tavily_key", r"tvly-(?:dev-|prod-)?[A-Za-z0-9_-]{28,60}", "tvly-" + fake(32), "docs.tavily.com", end=DASH),
    _row("pinecone_key", r"pcsk_[A-Za-z0-9_]{60,80}", "pcsk_" + fake(70), "docs.pinecone.io"),
    _row("weights_and_biases_key", r"wandb_v1_[A-Za-z0-9_]{40,90}", "wandb_v1_" + fake(60), "docs.wandb.ai"),
    Row(
        "voyage_key",
        EDGE + r"(?<!-)pa-[A-Za-z0-9_-]{43}" + DASH,
        "docs.voyageai.com/docs/api-key-and-installation",
        check=is_mixed,
        hits=("pa-" + fake(43),),
        misses=("pa-lowercase-words-of-a-name-that-goes-on-and-on",),
    ),
    _row(
        "elevenlabs_key", r"sk_[0-9a-f]{48}", "sk_" + fake(48, HEX), "elevenlabs.io/docs/api-reference/authentication"
    ),
    _row("firecrawl_key", r"fc-[0-9a-f]{32}", "fc-" + fake(32, HEX), "docs.firecrawl.dev", edge=EDGE + r"(?<!-)"),
    # Messaging and mail
    Row(
        "slack_token",
        EDGE + r"(?:xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{20,})",
        "docs.slack.dev/authentication/tokens",
        check=is_numbered,
        hits=("xoxb-" + "102938475601-" * 2 + fake(24), "xapp-1-A0FAKE1234-1029384756102-" + fake(64, HEX)),
        misses=("xoxb-my-bot-token-here", "2018-250-xoxo-indieweb-1.jpg"),
    ),
    _row(
        "slack_webhook",
        r"(?:https?://)?hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/[\w/+-]{20,120}",
        "https://hooks.slack.com/services/T0FAKE123/B0FAKE456/" + fake(24),
        "docs.slack.dev/messaging/sending-messages-using-incoming-webhooks",
        edge=EDGE,
        end="",
    ),
    _row(
        "teams_webhook",
        r"https://[a-z0-9]{1,60}\.webhook\.office\.com/webhookb2/[\w@/-]{60,250}",
        "https://fake.webhook.office.com/webhookb2/"
        "0fade1ca-fe2b-abe3-deed-4567890fade1@0fade1ca-fe2b-abe3-deed-4567890fade1/IncomingWebhook/" + fake(32, HEX),
        end="",
    ),
    _row(
        "discord_webhook",
        r"https://(?:\w{1,10}\.)?discord(?:app)?\.com/api/(?:v\d{1,2}/)?webhooks/\d{17,20}/[\w-]{60,80}",
        "https://discord.com/api/webhooks/102938475610293847/" + fake(68),
        "discord.com/developers/docs/resources/webhook",
        end=DASH,
    ),
    _row(
        "discord_token",
        r"[MNO][\w-]{22,27}\.[\w-]{6}\.[\w-]{27,38}",
        "M" + fake(25) + ".Yfake1." + fake(38),
        "discord.com/developers/docs/reference",
        end=DASH,
    ),
    _row("discord_token", r"mfa\.[\w-]{84}", "mfa." + fake(84), "discord.com/developers/docs/reference", end=DASH),
    _row(
        "telegram_token",
        r"\d{8,10}:A[A-Za-z0-9_-]{34}",
        "1029384756:AA" + fake(33),
        "core.telegram.org/bots/api",
        edge=NUMBER_EDGE,
        end=DASH,
    ),
    _row(
        "twilio_key",
        r"(?:SK|AC|AP|CA)[0-9a-f]{32}",
        "SK" + fake(32, HEX),
        "www.twilio.com/docs/iam/api-keys",
        "SK" + "0" * 32,
    ),
    _row(
        "sendgrid_key",
        r"SG\.[\w-]{20,24}\.[\w-]{39,50}",
        "SG." + fake(22) + "." + fake(43),
        "www.twilio.com/docs/sendgrid/ui/account-and-settings/api-keys",
        end=DASH,
    ),
    _row("mailgun_key", r"(?:key|pubkey)-[0-9a-f]{32}", "key-" + fake(32, HEX), "documentation.mailgun.com"),
    _row(
        "mailgun_key",
        r"[0-9a-h]{32}-[0-9a-h]{8}-[0-9a-h]{8}",
        fake(32, HEX) + "-" + fake(8, HEX) + "-" + fake(8, HEX),
        end=DASH,
        edge=EDGE + r"(?<!-)",
    ),
    _row("mailchimp_key", r"[0-9a-f]{32}-us\d{1,2}", fake(32, HEX) + "-us12", "mailchimp.com/help/about-api-keys"),
    _row(
        "brevo_key",
        r"xkeysib-[0-9a-f]{64}-[A-Za-z0-9]{16}|xsmtpsib-[0-9a-f]{64}-[A-Za-z0-9]{16}",
        "xkeysib-" + fake(64, HEX) + "-" + fake(16),
    ),
    _row(
        "postmark_token",
        r"(?:POSTMARK|postmark)[\w .-]{0,24}[:=]\s{0,2}[\"']?(?P<value>" + UUID + ")",
        "POSTMARK_SERVER_TOKEN=0fade1ca-fe2b-abe3-deed-4567890fade1",
        "postmarkapp.com/developer",
        edge="",
    ),
    _row("resend_key", r"re_[A-Za-z0-9]{8,12}_[A-Za-z0-9]{20,28}", "re_" + fake(8) + "_" + fake(24), "resend.com/docs"),
    _row("intercom_token", r"dG9rOi[A-Za-z0-9+/=]{40,80}", "dG9rOi" + fake(54), "developers.intercom.com", end=""),
    # Payment and commerce
    _row(
        "stripe_key",
        r"(?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{10,247}|whsec_[A-Za-z0-9+/=]{24,80}",
        "sk_live_" + fake(24),
        "docs.stripe.com/keys",
    ),
    _row("stripe_key", r"(?:sk|rk)_[A-Za-z0-9]{24,99}", "sk_" + fake(32), "docs.stripe.com/keys"),
    _row("square_token", r"(?:EAAA|sq0atp-|sq0csp-|sq0idp-)[\w-]{22,60}", "sq0atp-" + fake(22), end=DASH),
    _row(
        "paypal_token",
        r"access_token\$(?:production|sandbox)\$[0-9a-z]{16}\$[0-9a-f]{32}",
        "access_token$production$" + fake(16, LOWER) + "$" + fake(32, HEX),
        "developer.paypal.com/braintree/docs",
    ),
    _row(
        "shopify_token",
        r"shp(?:at|ca|pa|ss|tka|ua)_[0-9a-fA-F]{32}",
        "shpat_" + fake(32, HEX),
        "shopify.dev/docs/apps/build/authentication-authorization",
    ),
    _row(
        "plaid_token",
        r"(?:access|link|public)-(?:sandbox|development|production)-" + UUID,
        "access-sandbox-0fade1ca-fe2b-abe3-deed-4567890fade1",
    ),
    _row(
        "adyen_key",
        r"AQE[A-Za-z0-9]{5}[A-Za-z0-9+/=]{60,200}-[A-Za-z0-9+/=]{30,80}-[\w+/=$&*^%!?@#~-]{10,40}",
        "AQEfake1" + fake(80) + "-" + fake(44) + "-" + fake(16),
        "docs.adyen.com/development-resources/api-credentials",
        end="",
    ),
    _row("easypost_token", r"EZ[AT]K[A-Za-z0-9]{54}", "EZAK" + fake(54)),
    _row("shippo_token", r"shippo_(?:live|test)_[0-9a-fA-F]{40}", "shippo_live_" + fake(40, HEX)),
    _row("duffel_token", r"duffel_(?:test|live)_[\w=-]{43}", "duffel_test_" + fake(43), end=DASH),
    _row(
        "flutterwave_key",
        r"FLW(?:SECK|PUBK)(?:_TEST)?-[0-9a-zA-Z]{12,32}(?:-X)?",
        "FLWSECK_TEST-" + fake(32, HEX) + "-X",
    ),
    _row("razorpay_key", r"rzp_(?:live|test)_[A-Za-z0-9]{14,24}", "rzp_live_" + fake(14), "razorpay.com/docs/api"),
    _row("lob_key", r"(?:live|test)_(?:pub_)?[0-9a-f]{31,35}", "live_" + fake(35, HEX)),
    _row("gocardless_token", r"live_[\w=-]{40}", "live_" + fake(40), end=DASH),
    # Work, data and monitoring
    _row("airtable_token", r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}", "pat" + fake(14) + "." + fake(64, HEX)),
    _row(
        "asana_token",
        r"[12]/\d{15,17}(?:/\d{15,17})?:[0-9a-f]{32}",
        "1/1029384756102938:" + fake(32, HEX),
        "developers.asana.com/docs/personal-access-token",
    ),
    _row(
        "notion_token",
        r"ntn_[A-Za-z0-9]{43,50}|secret_[A-Za-z0-9]{43}",
        "ntn_10293847561" + fake(35),
        "developers.notion.com/docs/authorization",
    ),
    _row("linear_key", r"lin_(?:api|oauth)_[A-Za-z0-9]{32,64}", "lin_api_" + fake(40)),
    _row(
        "figma_token",
        r"fig[dour]_[\w-]{38,44}",
        "figd_" + fake(40),
        "www.figma.com/developers/api#access-tokens",
        end=DASH,
    ),
    _row("typeform_token", r"tfp_[\w.=-]{43,59}", "tfp_" + fake(59), end=DASH),
    _row("postman_key", r"PMAK-[0-9a-fA-F]{24}-[0-9a-fA-F]{34}", "PMAK-" + fake(24, HEX) + "-" + fake(34, HEX)),
    _row("readme_key", r"rdme_[a-z0-9]{70}", "rdme_" + fake(70, LOWER)),
    _row(
        "hubspot_token",
        r"pat-(?:na|eu)\d-" + UUID,
        "pat-na1-0fade1ca-fe2b-abe3-deed-4567890fade1",
        "developers.hubspot.com/docs/api/private-apps",
    ),
    _row(
        "salesforce_token",
        r"00D[A-Za-z0-9]{12,15}![\w.]{60,130}",
        "00D" + fake(12) + "!" + fake(96),
        "developer.salesforce.com/docs",
        end="",
    ),
    _row("octopus_key", r"API-[A-Z0-9]{26}", "API-" + fake(26, UPPER)),
    _row(
        "onepassword_key",
        r"A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}",
        "A3-" + fake(6, UPPER) + "-" + fake(11, UPPER) + "-FAKE1-FAKE2-FAKE3",
    ),
    _row("onepassword_token", r"ops_eyJ[A-Za-z0-9+/]{250,2048}={0,3}", "ops_eyJ" + fake(260), end=""),
    _row(
        "dynatrace_token",
        r"dt0[a-z]\d\d\.[A-Z0-9]{24}\.[A-Z0-9]{64}",
        "dt0c01." + fake(24, UPPER) + "." + fake(64, UPPER),
    ),
    _row(
        "grafana_token",
        r"glsa_[A-Za-z0-9]{32}_[0-9A-Fa-f]{8}|glc_[A-Za-z0-9+/]{32,400}={0,3}|eyJrIjoi[A-Za-z0-9]{70,400}={0,3}",
        "glsa_" + fake(32) + "_0fade1ca",
        end=r"(?![A-Za-z0-9+/=]|_[A-Za-z0-9])",
    ),
    _row(
        "newrelic_key",
        r"NR(?:AK-[A-Za-z0-9]{27}|II-[A-Za-z0-9-]{32}|JS-[0-9a-f]{19}|RA-[0-9a-f]{42})",
        "NRAK-" + fake(27, UPPER),
        "docs.newrelic.com/docs/apis/intro-apis/new-relic-api-keys",
    ),
    _row("sentry_token", r"sntry[su]_[A-Za-z0-9+/=_]{60,500}", "sntryu_" + fake(64, HEX), end=""),
    _row(
        "datadog_key",
        r"ddapp_[A-Za-z0-9]{34}|ddp_[A-Za-z0-9]{34}",
        "ddp_" + fake(34),
        "docs.datadoghq.com/account_management/api-app-keys",
    ),
    _row("honeycomb_key", r"hca?[ai]k_[a-z0-9]{26,58}", "hcaik_" + fake(58, LOWER), "docs.honeycomb.io"),
    _row("posthog_key", r"ph[cxs]_[A-Za-z0-9]{40,50}", "phx_" + fake(43), "posthog.com/docs/api"),
    _row("prefect_token", r"pn[ub]_[A-Za-z0-9]{36}", "pnu_" + fake(36)),
    _row(
        "snyk_token",
        r"snyk_(?:uat|sat)\.[0-9a-f]{8}\.[\w-]{60,120}",
        "snyk_uat.0fade1ca." + fake(80),
        "docs.snyk.io",
        end=DASH,
    ),
    _row(
        "harness_key",
        r"(?:pat|sat)\.[\w-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}",
        "pat." + fake(22) + "." + fake(24) + "." + fake(20),
    ),
    _row(
        "mapbox_token",
        r"[sp]k\.eyJ[\w-]{20,200}\.[\w-]{20,40}|pk\.[a-z0-9]{60}\.[a-z0-9]{22}",
        "sk.eyJ" + fake(60) + "." + fake(22),
        "docs.mapbox.com/accounts/guides/tokens",
        end=DASH,
    ),
    _row("maxmind_key", r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk", fake(6) + "_" + fake(29) + "_mmk"),
    _row(
        "algolia_key",
        r"(?:algolia|ALGOLIA)[\w .-]{0,24}[:=]\s{0,2}[\"']?(?P<value>[0-9a-f]{32})",
        "ALGOLIA_ADMIN_KEY=" + fake(32, HEX),
        edge="",
    ),
    _row(
        "contentful_token",
        r"CFPAT-[\w-]{43}",
        "CFPAT-" + fake(43),
        "www.contentful.com/developers/docs/references/authentication",
        end=DASH,
    ),
    _row("frameio_token", r"fio-u-[\w=-]{64}", "fio-u-" + fake(64), end=DASH),
    _row("settlemint_token", r"sm_[aps]at_[A-Za-z0-9]{16}", "sm_pat_" + fake(16)),
    _row(
        "authress_token",
        r"(?:sc|ext|scauth|authress)_[a-z0-9]{5,30}\.[a-z0-9]{4,6}\.acc[_-][a-z0-9-]{10,32}\.[A-Za-z0-9+/_=-]{30,120}",
        "sc_" + fake(12, LOWER) + ".ab12.acc_" + fake(16, LOWER) + "." + fake(44),
        end="",
    ),
    _row("defined_token", r"dnkey-[\w=-]{26}-[\w=-]{52}", "dnkey-" + fake(26) + "-" + fake(52), end=DASH),
    _row("adobe_secret", r"p8e-[A-Za-z0-9_-]{32}", "p8e-" + fake(32), end=DASH),
    _row("intra42_secret", r"s-s4t2(?:ud|af)-[0-9a-f]{64}", "s-s4t2ud-" + fake(64, HEX)),
    _row(
        "dropbox_token",
        r"sl\.(?:u\.)?[\w-]{130,}",
        "sl.u." + fake(140),
        "www.dropbox.com/developers/documentation",
        end="",
    ),
    # People's networks
    _row(
        "facebook_token",
        r"EAA[A-Z][A-Za-z0-9]{30,400}|\d{15,16}(?:\||%7C)[\w-]{27,40}",
        "EAAC" + fake(120),
        "developers.facebook.com/docs/facebook-login/guides/access-tokens",
        end="",
    ),
    Row(
        "twitter_token",
        EDGE + r"AAAAAAAAAAAAAAAAAAAAA[A-Za-z0-9%]{60,120}",
        "developer.x.com/en/docs/authentication/oauth-2-0/bearer-tokens",
        hits=("AAAAAAAAAAAAAAAAAAAAA" + fake(80),),
    ),
    _row(
        "linkedin_secret",
        r"WPL_AP1\.[A-Za-z0-9]{16}\.[A-Za-z0-9+/=]{6,12}",
        "WPL_AP1." + fake(16) + "." + fake(8),
        "learn.microsoft.com/linkedin/shared/authentication",
    ),
    _row("twitch_token", r"oauth:[a-z0-9]{30}", "oauth:" + fake(30, LOWER), "dev.twitch.tv/docs/authentication"),
    # What a system keeps of a password
    Row(
        "password_hash",
        EDGE
        + r"(?<!\$)\$(?:2[abxy]?\$\d\d\$[./A-Za-z0-9]{53}|1\$[./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{22}|5\$(?:rounds=\d{1,9}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{43}"
        r"|6\$(?:rounds=\d{1,9}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{86}|argon2(?:id|i|d)\$v=\d{1,3}\$m=\d{1,9},t=\d{1,9},p=\d{1,9}\$[A-Za-z0-9+/]{8,88}\$[A-Za-z0-9+/]{16,172}"
        r"|y\$[./A-Za-z0-9]{1,20}\$[./A-Za-z0-9]{1,86}\$[./A-Za-z0-9]{43})",
        "crypt(5) of libxcrypt; RFC 9106 (Argon2)",
        check=plausible,
        hits=(
            "$2b$12$" + fake(53),
            "$6$fakesalt$" + fake(86),
            "$argon2id$v=19$m=65536,t=3,p=4$" + fake(22) + "$" + fake(43),
        ),
        misses=("costs $2a or $1$", "$2b$12$short"),
    ),
    # A vendor's name beside a value that has no form of its own
    _named(
        "vendor_key",
        "adafruit|adobe|airtable|algolia|alibaba|amplitude|asana|atlassian|auth0|beamer|bing|bitbucket|bittrex|box|bugsnag|circleci|clearbit|cloudant|cloudflare"
        "|codecov|cohere|coinbase|confluence|confluent|consumer|contentful|datadog|deepseek|digitalocean|discord|disqus|droneci|dropbox|ebay|elastic|etsy|facebook|fastly"
        "|finicity|finnhub|firebase|flickr|foursquare|freshbooks|freshdesk|gemini|github|gitlab|gitter|gocardless|google|heroku|hubspot|ibm|infura|instagram|intercom|jenkins|jfrog"
        "|jira|kraken|kucoin|launchdarkly|linear|linked[_-]?in|lob|looker|mailchimp|mailgun|mandrill|mapbox|mattermost|meraki|messagebird|microsoft|mistral|mixpanel|monday|netlify|new[_-]?relic"
        "|newsapi|nexmo|nytimes|okta|openweather|optimizely|pagerduty|paypal|pendo|pinterest|plaid|postman|private[_-]?ai|pubnub|pusher|quip|rapidapi|redis|rollbar|salesforce|segment|sendbird|sendgrid"
        "|sentry|shodan|shopify|slack|snyk|softlayer|sonar|soundcloud|spotify|square|squarespace|strava|stripe|sumo|tableau|telegram|tiktok|together|travis|trello|tumblr|twilio|twitch|twitter|typeform|vimeo"
        "|virustotal|vonage|wandb|weather|yahoo|yandex|yelp|youtube|zapier|zendesk|zoho|zoom",
        r"[\w/+~-]{15,128}={0,2}",
        "CLOUDFLARE_API_KEY = '" + fake(40, LOWER) + "'",
    ),
)
