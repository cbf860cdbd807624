"""Of servers.sh: runs an S3 server; and waits for the servers, makes what the tests want to find, and prints where it is.

    servers.py s3 PORT [OPTIONS]
    servers.py prepare S3_PORT GUARDED_PORT AZURE_PORT TLS_PORT CERTIFICATE
"""

import base64
import datetime
import hashlib
import hmac
import json
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import boto3
import moto.iam.access_control as access
import moto.server

BUCKET = "datamon"
# Azurite's own, known to everybody.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
# Who may do what at the guarded server.
USERS = {
    "owner": ["s3:*"],
    "reader": ["s3:GetObject", "s3:ListBucket"],
    "writer": ["s3:PutObject"],
    "unlisted": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
    "keeper": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"],
}


def serve(port, *options):
    """moto forgets that a query is signed as it is sent, `/` as `%2F`, and would refuse every listing of a folder."""
    create = access.IAMRequestBase._create_aws_request

    def create_as_sent(self):
        path, _, query = self._path.partition("?")
        quote = lambda text: urllib.parse.quote(text, safe="-_.~")
        pairs = (pair.partition("=") for pair in query.split("&") if pair)
        encoded = "&".join(f"{quote(name)}={quote(value)}" for name, _, value in pairs)
        self._path, sent = f"{path}?{encoded}" if query else path, self._path
        try:
            return create(self)
        finally:
            self._path = sent

    access.IAMRequestBase._create_aws_request = create_as_sent
    moto.server.main(["-H", "127.0.0.1", "-p", port, *options])


def ask(url, method="GET", body=None, headers=None, trusted=None):
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    context = ssl.create_default_context(cafile=trusted) if trusted else None
    return urllib.request.urlopen(request, timeout=10, context=context)


def awaited(url, trusted=None):
    for _ in range(300):
        try:
            ask(url, trusted=trusted).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"nobody answers at {url}")


def s3(port, trusted=None):
    url = f"{'https' if trusted else 'http'}://127.0.0.1:{port}"
    awaited(url, trusted)
    ask(f"{url}/{BUCKET}", "PUT", trusted=trusted).close()
    return url


def guarded(port):
    url = s3(port)
    iam = boto3.client(
        "iam", endpoint_url=url, region_name="us-east-1", aws_access_key_id="root", aws_secret_access_key="root"
    )
    for user, actions in USERS.items():
        iam.create_user(UserName=user)
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=user, PolicyName="rights", PolicyDocument=policy)
        key = iam.create_access_key(UserName=user)["AccessKey"]
        yield f"DATAMON_TEST_KEY_{user.upper()}", f"{key['AccessKeyId']}:{key['SecretAccessKey']}"
    # From now on signatures and rights are checked.
    ask(f"{url}/moto-api/reset-auth", "POST", b"0", {"Content-Type": "text/plain"}).close()
    yield "DATAMON_TEST_S3_GUARDED", url


def azure(port):
    url = f"http://127.0.0.1:{port}"
    awaited(url)
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    version = "2021-08-06"
    signed = f"PUT{chr(10) * 12}x-ms-date:{date}\nx-ms-version:{version}\n/{ACCOUNT}/{ACCOUNT}/{BUCKET}\nrestype:container"
    signature = base64.b64encode(hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()).decode()
    headers = {
        "x-ms-date": date,
        "x-ms-version": version,
        "Authorization": f"SharedKey {ACCOUNT}:{signature}",
        "Content-Length": "0",
    }
    ask(f"{url}/{ACCOUNT}/{BUCKET}?restype=container", "PUT", headers=headers).close()
    return url


def prepare(s3_port, guarded_port, azure_port, tls_port, certificate):
    variables = [
        ("DATAMON_TEST_S3", s3(s3_port)),
        *guarded(guarded_port),
        ("DATAMON_TEST_AZURE", azure(azure_port)),
        ("DATAMON_TEST_S3_TLS", s3(tls_port, certificate)),
        ("DATAMON_TEST_CERTIFICATE", certificate),
        # For the tests that open a store themselves; the server takes any.
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AZURE_STORAGE_ACCOUNT_KEY", KEY),
    ]
    for name, value in variables:
        print(f"export {name}='{value}'")


{"s3": serve, "prepare": prepare}[sys.argv[1]](*sys.argv[2:])
