// The page of describe --page.
const { about, pictures } = JSON.parse(at("described").textContent);
at("about").textContent = `${about}, ${pictures.length.toLocaleString("en")} ${pictures.length === 1 ? "picture" : "pictures"}`;
at("pictures").append(...pictures.map(pictureView));
