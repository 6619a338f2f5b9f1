"""The welcome mail: nothing a visitor typed reaches it beyond an escaped, capped name."""

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage
from uuid import UUID

import pytest
from jinja2 import UndefinedError
from mailer_worker.mail import LinkMail, MailWriter, UnsendableAddressError, WelcomeMail, message_id, shown_name
from pydantic import SecretStr
from service_chassis.prospect_link import LinkTokens

AT = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
TOKENS = LinkTokens(SecretStr("a-key-of-tests-that-is-long-enough"))
PAGE = "https://www.firm.example/a-page-whose-address-is-longer-than-a-line-of-quoted-printable/my-inquiry"
WRITER = MailWriter("Intake Desk", "intake@firm.example", "Diaz & Ernst", PAGE, TOKENS)
ID = message_id(UUID(int=7), 1, "firm.example")


def written(first: str = "Ada", last: str = "Byron", address: str = "ada@prospect.example") -> EmailMessage:
    content = WRITER.write(WelcomeMail(first, last, address, "Dora Diaz", "dora@firm.example", ID), AT)
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def test_the_headers_say_who_writes_to_whom_and_that_a_machine_does() -> None:
    mail = written()
    assert mail["From"] == "Intake Desk <intake@firm.example>"
    assert mail["To"] == "ada@prospect.example"
    assert mail["Reply-To"] == "Dora Diaz <dora@firm.example>"
    assert mail["Subject"] == "Thank you for contacting Diaz & Ernst"
    assert mail["Message-ID"] == "<00000000-0000-0000-0000-000000000007.1@firm.example>"
    assert mail["Date"] == "Mon, 02 Mar 2026 08:30:00 +0000"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content_type() == "multipart/alternative"


@pytest.mark.parametrize("kind", ["plain", "html"])
def test_both_parts_greet_by_name_and_introduce_the_attorney(kind: str) -> None:
    text = body(written(), kind)
    assert [word for word in ("Ada Byron", "Dora Diaz", "attorney-client relationship") if word not in text] == []


def test_html_in_a_name_arrives_as_text() -> None:
    text = body(written("<script>alert(1)</script>", '"><a href=javascript:x>'), "html")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script" not in text
    assert "<a " not in text


def test_a_template_in_a_name_is_not_run() -> None:
    mail = written("{{ 7*7 }}", "{% import os %}")
    assert "{{ 7*7 }}" in body(mail, "plain")
    assert "49" not in body(mail, "plain")


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x00", "\x85", "\u2028", "\u2029", "\x0b"])
def test_a_name_stays_on_one_line_and_adds_no_header(end: str) -> None:
    mail = written(f"Ada{end}Bcc: evil@x.example{end}{end}body")
    assert mail["Bcc"] is None
    assert set(mail.keys()) == set(written().keys())
    assert any(line.startswith("Hello Ada Bcc:") for line in body(mail, "plain").splitlines())


def test_a_long_name_is_capped() -> None:
    text = body(written("A" * 5000, "B" * 5000), "plain")
    assert "A" * 60 + " " + "B" * 60 in text
    assert "A" * 61 not in text
    assert "B" * 61 not in text


@pytest.mark.parametrize("name", ["http://evil.example/x", "www.evil.example", "mail evil@x.example", "evil.example"])
def test_a_name_is_never_a_link(name: str) -> None:
    shown = shown_name(name)
    assert [mark for mark in ("://", "@", ".ex", "w.e") if mark in shown] == []


@pytest.mark.parametrize("name", ["J. R. R.", "O'Brien-Smith", "José María", "李小龍", "St. John", "Jr."])
def test_an_ordinary_name_is_shown_as_it_is(name: str) -> None:
    assert shown_name(name) == name


def test_a_name_of_nothing_visible_leaves_a_plain_greeting() -> None:
    assert body(written("\u202e\u200b", " "), "plain").startswith("Hello,")


def test_a_letter_beyond_ascii_arrives() -> None:
    assert "Søren Kierkegård" in body(written("Søren", "Kierkegård"), "plain")


def test_every_line_keeps_to_the_limits_of_smtp() -> None:
    content = WRITER.write(WelcomeMail("é" * 60, "B" * 60, "ada@prospect.example", "D", "d@firm.example", ID), AT)
    assert content.count(b"\n") == content.count(b"\r\n")
    assert max(len(line) for line in content.split(b"\r\n")) <= 998
    assert content.isascii()


def test_a_long_domain_leaves_the_message_id_on_one_line() -> None:
    long_id = message_id(UUID(int=7), 1, "mail." + "x" * 100 + ".example")
    content = WRITER.write(WelcomeMail("A", "B", "ada@prospect.example", "D", "d@firm.example", long_id), AT)
    assert f"\r\nMessage-ID: {long_id}\r\n".encode() in content


@pytest.mark.parametrize(
    "address", ["a@x.example, b@x.example", "nobody", "", "a@", "Ada <a@x.example>", "a@x\r\nBcc: b@x"]
)
def test_what_is_no_address_cannot_be_written_to(address: str) -> None:
    with pytest.raises(UnsendableAddressError):
        written(address=address)


def test_an_attorney_without_an_address_is_an_error() -> None:
    with pytest.raises((ValueError, IndexError)):
        WRITER.write(WelcomeMail("A", "B", "a@x.example", "D", "d@firm.example\r\nBcc: x@y", ID), AT)


def test_a_value_missing_in_a_template_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        WRITER._templates.get_template("welcome.txt.j2").render(name="Ada")


def test_the_mail_holds_no_address_of_a_page() -> None:
    mail = written("http://evil.example")
    assert "://" not in body(mail, "plain")
    assert "href" not in body(mail, "html")


LINK = UUID(int=9)


def written_link() -> tuple[bytes, EmailMessage]:
    kept = WRITER.write_link(LinkMail("ada@prospect.example", AT, ID), AT)
    sent = WRITER.with_token(kept, LINK, AT)
    assert sent == WRITER.with_token(kept, LINK, AT), "every copy is the same"
    parsed = email.message_from_bytes(sent, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return kept, parsed


def test_the_mail_of_a_link_holds_it_whole_says_until_when_and_comes_from_the_firm() -> None:
    _, mail = written_link()
    link = f"{PAGE}#{TOKENS.issue(LINK, AT)}"
    assert link in body(mail, "plain").splitlines()
    assert f'href="{link}"' in body(mail, "html")
    assert "02 March 2026, 08:30 UTC" in body(mail, "plain")
    assert (mail["From"], mail["To"]) == ("Intake Desk <intake@firm.example>", "ada@prospect.example")
    assert (mail["Subject"], mail["Reply-To"]) == ("Your private link to Diaz & Ernst", None)
    assert (mail["Message-ID"], mail["Auto-Submitted"]) == (ID, "auto-generated")


def test_what_is_kept_of_a_links_mail_opens_nothing() -> None:
    kept, _ = written_link()
    assert TOKENS.issue(LINK, AT)[:20].encode() not in kept.replace(b"=\r\n", b"")
