"""Files of captions: tables and COCO's files, several captions for a picture, and mistakes in one line."""

import json

import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.text.caption_files import ListedImage, read_captions

EXPECTED = [ListedImage("b.png", ["a dog", "a brown dog"]), ListedImage("a.png", ["it snows"])]
COCO = {
    "images": [{"id": 7, "file_name": "b.png"}, {"id": 3, "file_name": "a.png"}],
    "annotations": [{"id": 1, "image_id": 7, "caption": "a dog"}, {"id": 2, "image_id": 3, "caption": "it\nsnows"},
                    {"id": 3, "image_id": 7, "caption": " a  brown dog "}, {"id": 4, "image_id": 3, "caption": " "}],
}  # fmt: skip
FILES = {
    "rows.jsonl": '{"image": "b.png", "caption": "a dog"}\n{"image": "a.png", "caption": "it snows"}\n'
    '{"image": "b.png", "caption": "a  brown\\ndog"}\n',
    "lists.jsonl": '{"filename": "b.png", "captions": ["a dog", "a brown\\n dog"]}\n\n'
    '{"filename": "a.png", "captions": ["it snows", ""]}\n',
    "a.tsv": "file_name\tcaption\nb.png\ta dog\na.png\tit snows\nb.png\ta brown dog\n",
    "a.csv": 'Image,Sentence\nb.png,a dog\na.png,"it snows"\nb.png,"a brown\ndog"\n',
    "captions_train.json": json.dumps(COCO),
}


@pytest.mark.parametrize("name", FILES)
def test_all_formats_say_the_same(tmp_path, name):
    (tmp_path / name).write_text(FILES[name])
    assert read_captions(str(tmp_path / name)) == EXPECTED


def test_a_picture_may_have_no_caption_and_columns_can_be_named(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("image\tcaption\tdeutsch\na.png\t\tes schneit\n7\ta dog\t\n")
    assert read_captions(str(path)) == [ListedImage("a.png", []), ListedImage("7", ["a dog"])]
    assert read_captions(str(path), "deutsch") == [ListedImage("a.png", ["es schneit"]), ListedImage("7", [])]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.txt", "a.png a dog\n", "is not a file of captions"),
        ("a.tsv", "picture\tcaption\na.png\ta dog\n", "has no column image .its columns: picture, caption."),
        ("a.tsv", "image\twords\na.png\ta dog\n", "has no column caption .*or use --column"),
        ("a.tsv", "image\tcaption\n\ta dog\n", "line 2: the row names no picture in column image"),
        ("a.jsonl", '{"image": "a.png", "caption": \n', "line 1: this is not JSON"),
        ("a.jsonl", '{"image": "a.png", "caption": 1.5}\n', "has no column caption"),
        ("a.tsv", "image\tcaption\n", "contains no captions"),
        ("a.json", "[1, 2", "is not JSON"),
        ("a.json", "[1, 2]", "is not in COCO's format"),
        ("a.json", '{"images": [], "annotations": [{"image_id": 1, "caption": "a"}]}', "is not in COCO's format"),
    ],
)
def test_mistakes_are_named_in_one_line(tmp_path, name, content, told):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=told) as error:
        read_captions(str(tmp_path / name))
    assert "\n" not in str(error.value)
