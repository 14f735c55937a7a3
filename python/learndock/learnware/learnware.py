"""A learnware: a model with its specifications."""

from __future__ import annotations

import contextlib
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex

from learndock._validation import as_array, as_path
from learndock.environment.choice import checked_environment
from learndock.environment.requirements import read_requirements
from learndock.errors import InvalidArgument, LearnwareError, ModelError, SpecificationFileError
from learndock.learnware._running import RunningModel
from learndock.learnware.archive import ArchiveLimits, extract
from learndock.learnware.description import LearnwareDescription, find_root
from learndock.runtime.isolation import least_isolation
from learndock.runtime.scratch import private_folder, remove_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from os import PathLike
    from types import TracebackType

    import numpy as np
    import numpy.typing as npt

    from learndock.environment.choice import EnvironmentChoice
    from learndock.learnware.validation import Validation
    from learndock.peers import PeerRecord
    from learndock.runtime import IsolationRequest, ModelLimits, ModelProcess
    from learndock.specification import RKMETableSpecification, SemanticSpecification

__all__ = ["Learnware"]


class Learnware:
    """A model with its specifications, in a folder; made by `open`, and by `pack` from a fitted model.

    The model is not loaded until it is asked to predict, and then in a process of its own (see `ModelProcess`), which
    stays until `close`, the end of a ``with`` block, or until this object is forgotten; so does the folder that a zip
    is unpacked into.

    Attributes
    ----------
    id : str or None
        Its name in a dock, or the one that it gives itself.
    description : LearnwareDescription
        What learnware.yaml says.
    specification : RKMETableSpecification or None
        The statistical part.
    semantic : SemanticSpecification or None
        The semantic part.
    held_out : ndarray of float64 or None
        Rows that it ships, shape (n, d); see `pack`.
    labelled_sketch : ndarray of float64 or None
        Mean labels that it ships of the points of its specification, shape (K, columns), NaN where there are none; in
        the order of the semantic specification's Output. See `pack`.
    peers : PeerRecord or None
        What it loses on the sketches of its peers, where a dock that has reviewed it gave it out.
    validation : Validation or None
        How well the model did on rows of its developer that it had not seen; see `pack`.
    requirements : tuple of str
        Distributions that the model needs, in pip's spelling.
    path : Path
        The zip or folder it was opened from.
    folder : Path
        Where its files are.

    Examples
    --------
    ::

        with Learnware.open("model.zip") as learnware:
            predictions = learnware.predict(X)
    """

    id: str | None
    description: LearnwareDescription
    specification: RKMETableSpecification | None
    semantic: SemanticSpecification | None
    held_out: npt.NDArray[np.float64] | None
    labelled_sketch: npt.NDArray[np.float64] | None
    peers: PeerRecord | None
    validation: Validation | None
    requirements: tuple[str, ...]
    path: Path
    folder: Path
    _running: RunningModel
    _end: weakref.finalize[..., Learnware]

    @classmethod
    def open(
        cls,
        path: str | PathLike[str],
        *,
        semantic: SemanticSpecification | Mapping[str, Any] | None = None,
        id: str | None = None,
        limits: ModelLimits | None = None,
        archive_limits: ArchiveLimits | None = None,
        isolation: IsolationRequest = "auto",
        environment: EnvironmentChoice = "current",
    ) -> Learnware:
        """Open a zip or folder; the model is not started.

        Parameters
        ----------
        path : path
            A zip, which is unpacked into a private temporary folder, or a folder, which is used as it is.
        semantic : SemanticSpecification or mapping, optional
            The semantic part, by default the one in the folder.
        id : str, optional
            Its name, by default the one that it gives itself.
        limits : ModelLimits, optional
            What the model's process may use.
        archive_limits : ArchiveLimits, optional
            How large the zip's contents, or the files in a folder that are read here, may be.
        isolation : {"auto", "require", "landlock", "namespace"}
            How well the model must be contained, see `ModelProcess`; asked for when the model is started.
        environment : {"current", "build"}
            The interpreter that the model runs in: this one, or one with what the learnware requires. That one is made,
            or found where it was made before, when the model is started; see `learndock.environment`.

        Returns
        -------
        Learnware

        Raises
        ------
        InvalidArgument
            There is no such file, or `isolation` or `environment` is none of the choices.
        ArchiveRejected
            The zip could do harm.
        LearnwareError
            It is no zip, or what must be in it is missing or not as it must be.
        SpecificationFileError, SemanticError
            The statistical or the semantic specification in it is not as it must be.
        """
        least_isolation(isolation)
        environment = checked_environment(environment)
        source = as_path(path, "path")
        if not source.exists():
            raise InvalidArgument(f"path: expected a zip or a folder, got {source}, which does not exist")
        with contextlib.ExitStack() as undo:
            owned = None
            if not source.is_dir():
                owned = private_folder("learnware")
                undo.callback(remove_folder, owned)
                extract(source, owned, limits=archive_limits)
            learnware = cls.__new__(cls)
            root = find_root(owned or source)
            learnware._read(source, root, semantic, id, archive_limits or ArchiveLimits())
            learnware._running = RunningModel(
                learnware.folder,
                learnware.description.model,
                limits=limits,
                isolation=isolation,
                environment=environment,
                owned=owned,
            )
            learnware._end = weakref.finalize(learnware, learnware._running.close)
            undo.pop_all()
        return learnware

    @staticmethod
    def pack(
        model: Any,
        *,
        specification: RKMETableSpecification,
        semantic: SemanticSpecification,
        path: str | PathLike[str],
        overwrite: bool = False,
        held_out: Any = None,
        validation: tuple[Any, Any] | None = None,
        labelled_sketch: tuple[Any, Any] | None = None,
    ) -> Path:
        """Write a fitted scikit-learn model, with its specifications, as a learnware's zip.

        See `learndock.learnware.pack`, which this calls. Rows given as `held_out` are in the zip as they are: they
        leave your machine. Of those given as `validation`, a pair (X, y), only a few numbers are, and of those given
        as `labelled_sketch` mean labels around the points of the specification.
        """
        from learndock.learnware.package import pack

        return pack(
            model,
            specification=specification,
            semantic=semantic,
            path=path,
            overwrite=overwrite,
            held_out=held_out,
            validation=validation,
            labelled_sketch=labelled_sketch,
        )

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Predict in the model's process, which is started where none is running.

        Parameters
        ----------
        X : array, DataFrame or tensor of shape (n, *input_shape)
            Numbers.

        Returns
        -------
        array of length n
            What the model returned, copied.

        Raises
        ------
        InvalidArgument
            X is no array of numbers, has no rows, or rows of another shape than the model takes.
        ModelTimeout
            The model did not answer in time, and was ended.
        ModelError
            It can't be started, raised, or returned no array of numbers or strings with one entry per row.
        EnvironmentBuildError
            No environment with what it requires can be made, where `open` was asked for one.
        IsolationUnavailable
            The model can't be contained here as `open` was asked to.
        """
        rows = as_array(X, "X")
        if rows.ndim == 0 or len(rows) == 0:
            raise InvalidArgument(f"X: expected at least one row, got shape {rows.shape}")
        process = self._running.process()
        expected = process.start().input_shape
        if expected is None and self.specification is not None:
            expected = self.specification.input_shape
        if expected is not None and rows.shape[1:] != expected:
            raise InvalidArgument(f"X: expected rows of shape {expected}, got {rows.shape[1:]}")
        predictions = process.call("predict", rows)
        if predictions.ndim == 0 or len(predictions) != len(rows):
            raise ModelError(f"predict returned shape {predictions.shape}, expected {len(rows)} rows")
        return predictions

    def adopt(self, process: ModelProcess) -> None:
        """Predict in a process that was started for a check of this learnware: it is closed with the learnware."""
        self._running.adopt(process)

    def close(self) -> None:
        """End the model's process and remove the folder that the zip was unpacked into."""
        self._end()

    def __enter__(self) -> Learnware:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # A handle to a process and a folder: a second one would start a second process, and end the first one's folder.
    # scikit-learn's clone copies what an estimator was given, such as the learnwares of a reuser.
    def __copy__(self) -> Learnware:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Learnware:
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            f"a Learnware can't be pickled: it stands for a process and files of this machine; open {self.path} again"
        )

    def __repr__(self) -> str:
        name = self.id or (self.semantic.name if self.semantic is not None else self.description.name)
        return f"Learnware({name or self.path.name!r}, {self.specification}, {self.semantic})"

    def _read(
        self,
        source: Path,
        root: Path,
        semantic: SemanticSpecification | Mapping[str, Any] | None,
        id: str | None,
        limits: ArchiveLimits,
    ) -> None:
        from learndock.specification import SemanticSpecification, load_spec

        self.path, self.folder = source, root
        self.description = LearnwareDescription.read(root, max_bytes=limits.description_bytes)
        self.id = self.description.id if id is None else id
        self.specification = None
        # One of each class, and there is one class.
        for entry in self.description.specifications[:1]:
            with _naming_within(root):
                self.specification = load_spec(root / entry.file_name, max_bytes=limits.specification_bytes)
        if semantic is None and self.description.semantic_file is not None:
            with _naming_within(root):
                semantic = SemanticSpecification.load(
                    root / self.description.semantic_file, max_bytes=limits.semantic_bytes
                )
        elif semantic is not None and not isinstance(semantic, SemanticSpecification):
            semantic = SemanticSpecification.from_dict(semantic)
        self.semantic = semantic
        self.held_out = self._held_out(limits)
        self.labelled_sketch = self._labelled_sketch(limits)
        self.peers = None
        self.validation = self.description.validation
        self.requirements = read_requirements(root)

    def _held_out(self, limits: ArchiveLimits) -> npt.NDArray[np.float64] | None:
        from learndock.learnware.held_out import read_held_out

        name = self.description.held_out_file
        if name is None:
            return None
        columns = None if self.specification is None else self.specification.input_shape[0]
        content = self._data(name, limits, called="held_out")
        return read_held_out(content, name=Path(name).name, columns=columns)

    def _labelled_sketch(self, limits: ArchiveLimits) -> npt.NDArray[np.float64] | None:
        from learndock.learnware.labelled_sketch import read_labelled_sketch

        name = self.description.labelled_sketch_file
        if name is None:
            return None
        content = self._data(name, limits, called="labelled_sketch")
        return read_labelled_sketch(
            content, name=Path(name).name, specification=self.specification, semantic=self.semantic
        )

    def _data(self, name: str, limits: ArchiveLimits, *, called: str) -> bytes:
        with (self.folder / name).open("rb") as stream:
            content = stream.read(limits.specification_bytes + 1)
        if len(content) > limits.specification_bytes:
            raise LearnwareError(f"{called}: {Path(name).name} is larger than {limits.specification_bytes} bytes")
        return content


@contextlib.contextmanager
def _naming_within(root: Path) -> Iterator[None]:
    """Name files in errors as the learnware does: where a zip is unpacked means nothing to its owner."""
    try:
        yield
    except SpecificationFileError as error:
        raise SpecificationFileError(str(error).replace(f"{root}/", "")) from None
