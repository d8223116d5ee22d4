"""The AWS SDK for Python. It finds kmsd and the credentials in the environment, and prints a line of JSON for each case."""

import json
import os
import sys
import traceback

try:
    import boto3
    import botocore.config
    import botocore.exceptions
except ImportError as err:
    print(f"missing {err.name}")
    sys.exit()
print(f"version {boto3.__version__}")

kms = boto3.client("kms")
iam = boto3.client("iam")
sts = boto3.client("sts")
organizations = boto3.client("organizations")


def case(test):
    error = None
    try:
        test()
    except Exception:
        error = traceback.format_exc()
    print(json.dumps({"Case": test.__doc__, "Error": error}))


def equal(what, got, want):
    if got != want:
        raise AssertionError(f"{what} = {got!r}, want {want!r}")


@case
def crypto():
    """Encrypt, Decrypt and data keys, with encryption context"""
    key = kms.create_key(Description="by Python")["KeyMetadata"]
    about = {"purpose": "test", "größe": "🔑"}
    sealed = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x" * 4096, EncryptionContext=about)
    equal("KeyId", sealed["KeyId"], key["Arn"])
    equal("Plaintext", kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=about)["Plaintext"], b"x" * 4096)
    made = kms.generate_data_key(KeyId=key["KeyId"], KeySpec="AES_256")
    equal("data key", kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"], made["Plaintext"])


@case
def errors():
    """errors are the client's own classes"""
    for wanted, call in {
        "NotFoundException": lambda: kms.describe_key(KeyId="alias/nothing"),
        "InvalidCiphertextException": lambda: kms.decrypt(CiphertextBlob=b"x" * 200),
        "UnsupportedOperationException": lambda: kms.create_key(MultiRegion=True),
        "AlreadyExistsException": lambda: [kms.create_alias(AliasName="alias/py", TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"]) for _ in range(2)],
    }.items():
        try:
            call()
        except getattr(kms.exceptions, wanted) as err:
            equal("Code", err.response["Error"]["Code"], wanted)
            equal("length of RequestId", len(err.response["ResponseMetadata"]["RequestId"]), 36)
        else:
            raise AssertionError(f"no {wanted}")
    try:
        iam.get_user(UserName="nobody")
    except iam.exceptions.NoSuchEntityException:
        return
    raise AssertionError("no NoSuchEntityException")


@case
def paginators():
    """paginators"""
    for _ in range(3):
        kms.create_key()
    ids = [k["KeyId"] for page in kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2}) for k in page["Keys"]]
    equal("keys twice", len(ids), len(set(ids)))
    for n in range(3):
        iam.create_user(UserName=f"py{n}", Path="/py/")
    names = [u["UserName"] for page in iam.get_paginator("list_users").paginate(PathPrefix="/py/", PaginationConfig={"PageSize": 1}) for u in page["Users"]]
    equal("users", sorted(names), ["py0", "py1", "py2"])
    list(organizations.get_paginator("list_accounts").paginate())


@case
def waiters():
    """waiters and policies, which come parsed"""
    iam.create_role(RoleName="py", AssumeRolePolicyDocument=os.environ["TEST_TRUST"])
    iam.get_waiter("role_exists").wait(RoleName="py", WaiterConfig={"Delay": 1, "MaxAttempts": 3})
    equal("document", iam.get_role(RoleName="py")["Role"]["AssumeRolePolicyDocument"], json.loads(os.environ["TEST_TRUST"]))


@case
def identity():
    """get_caller_identity"""
    equal("Arn", sts.get_caller_identity()["Arn"].rsplit(":", 1)[1], "root")


@case
def sessions():
    """assume_role, and a client with the session"""
    user = boto3.client("sts", aws_access_key_id=os.environ["TEST_USER_KEY"], aws_secret_access_key=os.environ["TEST_USER_SECRET"])
    c = user.assume_role(RoleArn=os.environ["TEST_ROLE_ARN"], RoleSessionName="py")["Credentials"]
    boto3.client(
        "kms", aws_access_key_id=c["AccessKeyId"], aws_secret_access_key=c["SecretAccessKey"], aws_session_token=c["SessionToken"]
    ).list_keys()


@case
def resources():
    """the resource interface of IAM"""
    equal("user", boto3.resource("iam").User("py0").arn.rsplit("/", 2)[1:], ["py", "py0"])
