"""A language server for editors: findings as one types, the rule where the mouse rests, safe fixes as code actions."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from ..errors import MissingDependencyError
from .finding import Finding
from .rules import explained
from .settings import Settings
from .source import rules_of
from .source.project import Project
from .source.report import look_at_files

__all__ = ["diagnose", "fix_of", "serve"]


def diagnose(path: str, text: str) -> list[Finding]:
    """The findings of a text under the path that it has in the editor."""
    project = Project()
    name = project.shown(path)
    return look_at_files([name], rules_of(Settings()), Project(texts={name: text.encode()})).findings


def fix_of(path: str, text: str) -> str | None:
    """The text after the safe fixes; None where there are none."""
    from .fixes import planned
    from .source.uses import Uses

    name = Project().shown(path)
    plan = planned([name], rules_of(Settings()), unsafe=False, project=Project(Uses(), {name: text.encode()}))
    after = plan.contents.get(name)
    return None if after is None else after.decode()


def serve() -> None:
    """Speak the Language Server Protocol on standard input and output.

    Raises
    ------
    MissingDependencyError
        Without pygls.
    """
    try:
        from lsprotocol import types
        from pygls.lsp.server import LanguageServer
    except ImportError as error:
        raise MissingDependencyError(
            "crossent check --server needs pygls: install the extra crossent[check]"
        ) from error
    server = LanguageServer("crossent-check", "v1")
    _register(server, types)
    server.start_io()


def _register(server: Any, types: Any) -> None:
    """What the server answers to."""

    def publish(params: Any) -> None:
        uri = params.text_document.uri
        document = server.workspace.get_text_document(uri)
        found = [_diagnostic(one, types) for one in diagnose(_path(uri), document.source)]
        server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri=uri, diagnostics=found))

    def closed(params: Any) -> None:
        uri = params.text_document.uri
        server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri=uri, diagnostics=[]))

    def hover(params: Any) -> Any:
        document, line = server.workspace.get_text_document(params.text_document.uri), params.position.line + 1
        here = [one for one in diagnose(_path(document.uri), document.source) if one.line <= line <= one.end_line]
        if not here:
            return None
        text = "\n\n---\n\n".join(explained(rule) for rule in dict.fromkeys(one.rule_id for one in here))
        return types.Hover(types.MarkupContent(types.MarkupKind.PlainText, text))

    def actions(params: Any) -> Any:
        document = server.workspace.get_text_document(params.text_document.uri)
        after = fix_of(_path(document.uri), document.source)
        if after is None:
            return []
        whole = types.Range(types.Position(0, 0), types.Position(len(document.lines) + 1, 0))
        edit = types.WorkspaceEdit(changes={document.uri: [types.TextEdit(whole, after)]})
        return [types.CodeAction("crossent: make the safe fixes", kind=types.CodeActionKind.QuickFix, edit=edit)]

    for name in (types.TEXT_DOCUMENT_DID_OPEN, types.TEXT_DOCUMENT_DID_CHANGE, types.TEXT_DOCUMENT_DID_SAVE):
        server.feature(name)(publish)
    server.feature(types.TEXT_DOCUMENT_DID_CLOSE)(closed)
    server.feature(types.TEXT_DOCUMENT_HOVER)(hover)
    server.feature(types.TEXT_DOCUMENT_CODE_ACTION)(actions)


def _path(uri: str) -> str:
    return str(Path(unquote(urlparse(uri).path)))


def _diagnostic(finding: Finding, types: Any) -> Any:
    """A finding in the protocol's words; lines and columns from 0."""
    severity = {"certain": types.DiagnosticSeverity.Error, "possible": types.DiagnosticSeverity.Warning}
    return types.Diagnostic(
        range=types.Range(
            types.Position(finding.line - 1, finding.column - 1),
            types.Position(finding.end_line - 1, finding.end_column - 1),
        ),
        message=finding.message,
        severity=severity.get(finding.level, types.DiagnosticSeverity.Information),
        code=finding.rule_id,
        source="crossent",
    )
