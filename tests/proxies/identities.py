"""All places in a configuration of Envoy at which a header of identity can be set beside extauth."""

from __future__ import annotations

from tests.proxies.looked import Change

ROUTE = "route: { cluster: upstream, timeout: 15s }"
CHECK = "- name: envoy.filters.http.ext_authz\n"
CLEARED = "- remove_on_match: { key_matcher: { prefix: x-auth- } }"
_NOBODY = "{ header: { key: X-Auth-User-Id, value: nobody } }"
_ADDS = f"request_headers_to_add: [{_NOBODY}]"
_MUTATION = (
    '"@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation%s, '
    "mutations: { request_mutations: [{ append: " + _NOBODY + " }] }"
)
SETTING = f"          - {{ name: set, typed_config: {{ {_MUTATION % ''} }} }}\n"
ROUTER = "          - name: envoy.filters.http.router\n"
WEIGHTED = "route: { weighted_clusters: { clusters: [{ name: upstream, weight: 1, %s }] }, timeout: 15s }"
_UPSTREAM_CLUSTER = "  - name: upstream\n    type: STATIC\n"
_UPSTREAM_FILTERS = (
    f"{_UPSTREAM_CLUSTER}    typed_extension_protocol_options:\n"
    "      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n"
    '        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n'
    "        explicit_http_config: { http_protocol_options: {} }\n"
    f"        http_filters:\n{SETTING.replace('          -', '        -')}"
    '        - { name: codec, typed_config: { "@type": '
    "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec } }\n"
)

SET_IDENTITIES = [
    Change("identity-replaced", ROUTE, f"{ROUTE}\n                {_ADDS}"),
    Change("identity-replaced", ROUTE, WEIGHTED % _ADDS),
    Change("identity-replaced", 'domains: ["*"]', f'domains: ["*"]\n              {_ADDS}'),
    Change(
        "identity-replaced", "            name: local\n", f"            name: local\n            {_ADDS}\n"
    ),
    Change("identity-replaced", ROUTER, SETTING + ROUTER),
    Change("identity-replaced", CHECK, SETTING.lstrip() + "          " + CHECK),
    Change("identity-replaced", CLEARED, f"{CLEARED}\n              - append: {_NOBODY}"),
    Change(
        "identity-replaced",
        ROUTE,
        f"{ROUTE}\n                typed_per_filter_config: {{ envoy.filters.http.header_mutation: "
        f"{{ {_MUTATION % 'PerRoute'} }} }}",
    ),
    Change("identity-replaced", _UPSTREAM_CLUSTER, _UPSTREAM_FILTERS),
]
