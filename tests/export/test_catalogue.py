import pytest

from segserve.core.errors import NotFound
from segserve.export.catalogue import RECIPES, find_recipe
from segserve.export.config_text import config_text
from segserve.families.factory import build_family


def test_names_and_aliases_are_unique() -> None:
    names = [n for recipe in RECIPES for n in (recipe.name, *recipe.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_names_and_aliases_find_the_recipe(recipe) -> None:
    assert find_recipe(recipe.name) is recipe
    assert all(find_recipe(alias) is recipe for alias in recipe.aliases)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_detectors_and_no_others_declare_their_suppression(recipe) -> None:
    config = recipe.config()
    family = build_family(config.parameters, config.labels, config.inputs, config.served_outputs)
    assert family is not None
    told = family.describe()
    assert bool(told.get("nms")) == (told["kind"] in ("instance", "panoptic"))


def test_bundled_models_have_their_recipes_configurations(repo_root) -> None:
    folders = {path.parent.name: path for path in repo_root.glob("model_repository/*/config.pbtxt")}
    bundled = [recipe for recipe in RECIPES if recipe.name in folders]
    assert len(bundled) >= 4
    for recipe in bundled:
        assert folders[recipe.name].read_text() == config_text(recipe.name, recipe.config())


def test_a_typo_names_the_nearest() -> None:
    with pytest.raises(NotFound, match=r"did you mean deeplabv3plus_resnet50\?"):
        find_recipe("deeplabv3plus_resnet5O")


def test_nothing_near_points_at_the_list() -> None:
    with pytest.raises(NotFound, match="--list"):
        find_recipe("zzz")


def test_every_golden_folder_of_this_family_has_a_recipe(goldens) -> None:
    folders = [
        p.name for p in goldens.glob("vainf_deeplabv3plus_*") if not p.name.endswith("_smooth")
    ]
    assert len(folders) == 3
    assert {find_recipe(name).name for name in folders} == set(folders)


def test_the_page_has_every_alias(repo_root) -> None:
    page = (repo_root / "docs" / "models.md").read_text()
    aliases = [alias for recipe in RECIPES for alias in recipe.aliases]
    assert [alias for alias in aliases if f"`{alias}`" not in page] == []


def test_the_page_has_a_whole_row_for_every_recipe(repo_root) -> None:
    page = (repo_root / "docs" / "models.md").read_text()
    table = page.partition("## All recipes")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| `")]
    assert sorted(row[0].strip("`") for row in rows) == sorted(r.name for r in RECIPES)
    assert {len(row) for row in rows} == {6}
    assert all(cell.strip() for row in rows for cell in row)
    anchors = {row[1].partition("](#")[2].rstrip(")") for row in rows} - {""}
    headings = {
        "".join(c for c in line[3:].lower().replace(" ", "-") if c.isalnum() or c == "-")
        for line in page.splitlines()
        if line.startswith("## ")
    }
    assert anchors <= headings
