"""An unpacked RabbitMQ belongs to one place, by whatever name that is reached."""

from pathlib import Path

from deploy.local.rabbitmq_unpack import is_unpacked


def test_a_link_to_the_place_is_the_place_and_a_copy_is_not(tmp_path: Path) -> None:
    place, moved = tmp_path / "here", tmp_path / "there"
    for folder in (place, moved):
        folder.mkdir()
        (folder / "unpacked-at").write_text(str(place.resolve()))
    (tmp_path / "link").symlink_to(place)
    assert is_unpacked(place)
    assert is_unpacked(tmp_path / "link")
    assert not is_unpacked(moved)
