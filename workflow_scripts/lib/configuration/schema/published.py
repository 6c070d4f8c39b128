"""What is published elsewhere: files to fetch, weights, numbers of other systems."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, StringConstraints, model_validator

from workflow_scripts.lib.configuration.schema.section import Name, Section

Sha256 = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{8}|[0-9a-f]{64}|unverified)$")]
Address = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")]


class Published(Section):
    """Where a file is published and how it is checked."""

    licence: str = Field(description="terms under which its publishers give it away")
    sha256: Sha256 = Field("unverified", description="64 hex digits, the first 8, or `unverified`")
    size: PositiveInt | None = Field(None, description="bytes, exact")
    about: str | None = Field(None, description="size for people where the exact one is not known: `55 GB`")
    url: Address | None = Field(None, description="official address that a program may use")
    page: str | None = Field(None, description="page for people: a login, a form, a cloud drive, or an explanation")


class Download(Published):
    """One file or archive that the publishers of a dataset offer; what lies in its place already is never fetched."""

    to: str = Field(description="the file, or the folder for the content of an archive; relative to the working folder")
    unpack: Literal["tree", "flat"] | None = Field(
        None,
        description="for archives: keep its folders (`tree`), or put all files directly into `to` (`flat`); null: a "
        "single file, fetched when something needs it",
    )
    archive: str | None = Field(None, description="name of the archive file; null: the end of the address")

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        if self.url is None and self.page is None:
            raise ValueError("needs a `url`, or a `page` that tells a person where to get it")
        if self.to.startswith("/") or ".." in self.to.split("/") or self.to != self.to.strip("/"):
            raise ValueError("`to` is a path below the working folder, such as data/qvh/videos")
        if self.unpack and not self.archive_name:
            raise ValueError("the address does not end with a file name; add `archive: <name of the archive file>`")
        return self

    @property
    def archive_name(self) -> str:
        """Return the name of the archive file."""
        return self.archive or (self.url or "").partition("?")[0].rpartition("/")[2]

    @property
    def archive_place(self) -> str:
        """Return where a person may put the archive: beside the folder."""
        return f"{self.to.rpartition('/')[0] or '.'}/{self.archive_name}"


class Fitted(Section):
    """What a weights file is fitted on, by the rule `fit_pca`."""

    dataset: Name = Field(description="the dataset whose videos the rows are of")
    feature: Name = Field(description="the feature that has the rows")


class Weight(Published):
    """One entry of `config/weights.yaml`."""

    file: str = Field(description="path under paths.weights, or inside `package`")
    sha256: Sha256 = Field(description="64 hex digits, the first 8, or `unverified`")
    loader: str = Field(description="how the file is read")
    source: str | None = Field(None, description="where a person gets a file that has no address to download from")
    fitted_on: Fitted | None = Field(
        None, description="rows of a feature that the principal components are fitted on, if the file is not there"
    )
    package: str | None = Field(
        None,
        description="Python package that carries the file; where it is not installed, the file is looked for in "
        "a folder of its name under paths.weights",
    )
    parts: tuple[Name, ...] = Field((), description="other entries that are needed beside this one, such as a PCA")

    @property
    def place(self) -> str:
        """Return where the file lies under paths.weights."""
        return f"{self.package}/{self.file}" if self.package else self.file


class PublishedRow(Section):
    """One row of a published table."""

    system: str = Field(description="what the publication calls it, with the variant")
    datasets: tuple[Name, ...] = Field(description="datasets whose split holds the same queries", min_length=1)
    split: str | None = Field(description="split, as the dataset's file calls it; null: not stated")
    rules: Name | None = Field(description="rule set that the numbers follow; null: none of ours")
    features: str | None = Field(None, description="what the system sees; null: not stated")
    metrics: dict[str, float] = Field(description="numbers as published, in percent", min_length=1)
    source: str = Field(description="paper, repository and table")


class PublishedResults(Section):
    """`config/published.yaml`."""

    rows: tuple[PublishedRow, ...]
