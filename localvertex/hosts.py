"""Which host names are Google's. What runs on the local Vertex AI reaches these here or not at all."""

# What Google's customers publish under run.app, web.app and the like is theirs: it is reached as any other host.
_DOMAINS = (
    "googleapis.com",
    "google.com",
    "google.internal",
    "googleusercontent.com",
    "goog",
    "google",
    "gcr.io",
    "pkg.dev",
)
# The metadata server of Compute Engine, which hands out the credentials of the machine.
_METADATA_SERVER = ("metadata", "169.254.169.254", "fd20:ce::254")


def normalized(host: str) -> str:
    """A host name or address as it is compared: lower case, no brackets, no trailing dot."""
    return host.strip("[]").rstrip(".").lower()


def is_google(host: str) -> bool:
    """Whether a host, in any spelling, belongs to Google or is the metadata server."""
    host = normalized(host)
    return host in _METADATA_SERVER or any(host == domain or host.endswith(f".{domain}") for domain in _DOMAINS)


def covers_google(pattern: str) -> bool:
    """Whether an entry of `no_proxy` covers a host of Google: `*`, `.googleapis.com`, `com`, `metadata`."""
    host = pattern if pattern.count(":") > 1 else pattern.partition(":")[0]  # an IPv6 address has no port here
    name = normalized(host.lstrip("*."))
    return not name or is_google(name) or any(domain.endswith(f".{name}") for domain in _DOMAINS)
