"""SeaweedFS as the S3 store of resumes: one process with its own folder, ports and keys."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.layout import Home
from deploy.local.ports import SeaweedPorts
from deploy.local.service import Service
from deploy.local.waiting import answers_ok

BUCKET = "resumes"


def find_weed() -> Path | None:
    """Give the wheel's program (in the environment that runs us), else one on PATH, else None."""
    in_environment = Path(sys.executable).with_name("weed")
    if in_environment.is_file():
        return in_environment
    found = shutil.which("weed")
    return Path(found) if found else None


class SeaweedServer(Service):
    """`weed mini`: master, volume server, filer and S3 gateway in one process."""

    def __init__(self, home: Home, ports: SeaweedPorts, access_key: str, secret_key: str, bucket: str = BUCKET) -> None:
        super().__init__("seaweedfs", "SeaweedFS", home)
        self._ports = ports
        self._access_key = access_key
        self._secret_key = secret_key
        self._bucket = bucket
        self._data = home.data / "seaweedfs"

    def ports(self) -> Mapping[str, int]:
        """Give all ten."""
        names = self._ports.__slots__
        return {f"SeaweedFS {name.replace('_', ' ')}": getattr(self._ports, name) for name in names}

    @property
    def endpoint(self) -> str:
        """Give the S3 address."""
        return f"http://127.0.0.1:{self._ports.s3}"

    def prepare(self) -> None:
        """Make the data folder."""
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)

    def environment(self) -> Mapping[str, str]:
        """Give the keys: without them everyone is let in."""
        return {"AWS_ACCESS_KEY_ID": self._access_key, "AWS_SECRET_ACCESS_KEY": self._secret_key}

    def command(self) -> list[str]:
        """Give every port explicitly, so that nothing listens where the port plan does not say."""
        weed = find_weed()
        if weed is None:
            raise StackError("no SeaweedFS found: set RESUMES_STORE=filesystem, or RESUMES_S3_ENDPOINT and its keys")
        ports = self._ports
        return [
            str(weed),
            "mini",
            f"-dir={self._data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-bucket={self._bucket}",
            f"-s3.port={ports.s3}",
            f"-s3.port.grpc={ports.s3_grpc}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            f"-master.port={ports.master}",
            f"-master.port.grpc={ports.master_grpc}",
            f"-volume.port={ports.volume}",
            f"-volume.port.grpc={ports.volume_grpc}",
            f"-filer.port={ports.filer}",
            f"-filer.port.grpc={ports.filer_grpc}",
            f"-admin.port={ports.admin}",
            f"-admin.port.grpc={ports.admin_grpc}",
        ]

    def is_ready(self) -> bool:
        """Ask the gateway for its health, then for the bucket, which it makes a moment later."""
        return answers_ok(self._ports.s3, "/healthz") and answers_ok(self._ports.filer, f"/buckets/{self._bucket}/")
