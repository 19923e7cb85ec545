"""An issuer of tokens: keys and their set by jwcrypto, tokens by PyJWT.

jwt_issuer.py DIRECTORY SPECIFICATION: the specification is JSON,
{"keys": {NAME: ALGORITHM}, "set": [NAME], "tokens": {NAME: {"key": NAME, "claims": {}, "header": {}}}}.
Each key is made once and kept in the directory: NAME.key, NAME.pem. The set goes to jwks.json by a rename. The tokens
are printed as one JSON object. A key named `secret:TEXT` is TEXT itself; `raw:NAME` is the octets of a file.
"""
import json
import os
import sys

import jwt
from jwcrypto import jwk

PARAMETERS = {
    "RS256": {"kty": "RSA", "size": 2048},
    "ES256": {"kty": "EC", "crv": "P-256"},
    "EdDSA": {"kty": "OKP", "crv": "Ed25519"},
}


def write(path, octets):
    with open(path + ".new", "wb") as file:
        file.write(octets)
    os.rename(path + ".new", path)


def main():
    directory, specification = sys.argv[1], json.loads(sys.argv[2])
    keys = {}
    for name, algorithm in specification.get("keys", {}).items():
        path = f"{directory}/{name}.key"
        if not os.path.exists(path):
            key = jwk.JWK.generate(**PARAMETERS[algorithm])
            write(path, key.export_to_pem(private_key=True, password=None))
            write(f"{directory}/{name}.pem", key.export_to_pem())
        with open(path, "rb") as file:
            keys[name] = (algorithm, file.read())
    if "set" in specification:
        members = []
        for name in specification["set"]:
            algorithm, pem = keys[name]
            public = jwk.JWK.from_pem(pem).export_public(as_dict=True)
            members.append({**public, "kid": name, "use": "sig", "alg": algorithm})
        write(f"{directory}/jwks.json", json.dumps({"keys": members}).encode())
    tokens = {}
    for name, token in specification.get("tokens", {}).items():
        key, header = token["key"], token.get("header", {})
        if key.startswith("secret:"):
            algorithm, material = "HS256", key[7:].encode()
        elif key.startswith("raw:"):
            # PyJWT refuses to make an HMAC with a public key: the attacker does it by hand.
            with open(f"{directory}/{key[4:]}", "rb") as file:
                tokens[name] = confused(file.read(), token["claims"])
            continue
        elif key == "none":
            algorithm, material = "none", None
        else:
            algorithm, material = keys[key]
        tokens[name] = jwt.encode(token["claims"], material, algorithm=algorithm, headers=header)
    print(json.dumps(tokens))


def confused(secret, claims):
    import base64
    import hashlib
    import hmac

    def text(octets):
        return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()

    signed = text(b'{"alg":"HS256","typ":"JWT"}') + "." + text(json.dumps(claims).encode())
    return signed + "." + text(hmac.new(secret, signed.encode(), hashlib.sha256).digest())


main()
