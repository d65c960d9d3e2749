import hashlib
import io
import json
import zipfile

import pytest
import yaml
from playwright.sync_api import expect

from tests.dashboard.conftest import TORCH_MILLISECONDS, chart


def test_an_api_error_is_shown_at_its_field(tab):
    page = tab.open("#/new")
    width = page.get_by_role("region", name="Model").get_by_label("Hidden size")
    start = page.get_by_role("button", name="Start training")
    expect(start).to_be_enabled()
    width.fill("many")
    expect(width).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#field-model-hidden_size-fault")).to_contain_text("must be a whole number")
    expect(start).to_be_disabled()
    page.get_by_role("button", name="1 field needs attention").click()
    expect(width).to_be_focused()
    width.fill("64")
    expect(page.locator("[aria-invalid=true]")).to_have_count(0)
    expect(start).to_be_enabled()


def test_the_needs_follow_what_is_typed(tab, service):
    page = tab.open("#/new")
    needs = page.get_by_role("region", name="What it will need")
    for layers in ("3", "6"):
        page.get_by_role("region", name="Model").get_by_label("Layers").fill(layers)
        spec = {"preset": "sample", "model": {"num_hidden_layers": int(layers)}}
        answer = service.http.post("/v1/jobs/estimate", json=spec).json()
        expect(needs.get_by_title(f"{answer['parameter_count']:,}")).to_be_visible()


def test_the_spec_holds_only_what_was_chosen_and_is_there_as_commands(tab):
    tab.page.clock.install()
    page = tab.open("#/new")
    page.get_by_label("Name").fill("it's mine")
    page.get_by_role("region", name="Training").get_by_label("Epochs", exact=True).fill("2")
    code = page.get_by_label("The spec")
    expect(code).to_have_text('preset: sample\nname: "it\'s mine"\ntraining:\n  epochs: 2\n')
    page.get_by_role("button", name="curl", exact=True).click()
    expect(code).to_contain_text("""-d '{"preset":"sample","name":"it'\\''s mine","training""")
    page.get_by_role("button", name="babylm", exact=True).click()
    expect(code).to_contain_text("--set training.epochs=2")
    # The button shows *Copied* for less than two seconds, so the test stops the clock of the page.
    # `pause_at` accepts only a time that the clock has not reached yet.
    page.clock.pause_at(page.evaluate("Date.now() / 1000") + 3600)
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert "babylm submit" in page.evaluate("navigator.clipboard.readText()")
    page.clock.run_for(2000)
    expect(page.get_by_role("button", name="Copy", exact=True)).to_be_visible()


def test_an_option_and_an_architecture_that_the_api_learns_appear_by_themselves(tab):
    def learn(route):
        description = json.loads(route.fetch().text())
        schemas = description["components"]["schemas"]
        option = {"type": "integer", "default": 7, "description": "A later version has it."}
        schemas["TrainingSpec"]["properties"]["brand_new"] = option
        schemas["Mamba9"] = {"type": "object", "properties": {"state_size": {"type": "integer"}}}
        mapping = schemas["JobSpec"]["properties"]["model"]["discriminator"]["mapping"]
        mapping["mamba9"] = "#/components/schemas/Mamba9"
        route.fulfill(json=description)

    tab.page.route("**/openapi.json", learn)
    page = tab.open("#/new")
    training = page.get_by_role("region", name="Training")
    training.get_by_text("All options").click()
    expect(training.get_by_label("Brand new")).to_have_attribute("placeholder", "7")
    tab.may_complain = True  # the browser logs that the service refuses `mamba9`
    page.get_by_role("button", name="mamba9").click()
    expect(page.get_by_role("region", name="Model").get_by_label("State size")).to_be_visible()


def test_a_job_like_an_earlier_one_has_its_spec(tab, service, finished):
    page = tab.open(f"#/new/{finished[1]['id']}")
    seed = page.get_by_role("region", name="Training").get_by_label("Seed", exact=True)
    expect(seed).to_have_value("2")
    expect(page.get_by_label("The spec")).to_contain_text("hidden_size: 32")
    expect(page.get_by_role("button", name="Start training")).to_be_enabled()
    spec = yaml.safe_load(page.get_by_label("The spec").inner_text())
    answer = service.http.post("/v1/jobs/estimate", json=spec).json()
    assert answer["spec"] == finished[1]["spec"] | {"name": "tiny olmo2 (2)"}


def test_two_runs_are_compared_and_the_link_keeps_the_choice(tab, finished):
    first, second = finished
    page = tab.open("")
    for job in finished:
        page.get_by_role("row", name=job["id"][:8]).get_by_role("checkbox").check()
    page.get_by_role("link", name="Compare", exact=True).last.click()
    expect(page).to_have_url(f"{tab.home}#/compare?jobs={first['id']},{second['id']}")
    for _ in range(2):
        results = page.get_by_role("table", name="Results")
        expect(results.get_by_role("row")).to_have_count(3)
        expect(page.get_by_role("table", name="Specs").get_by_role("row")).to_have_count(2)
        expect(page.get_by_role("table", name="Specs")).to_contain_text("training.seed")
        legend = page.get_by_role("list", name="Runs").get_by_role("listitem")
        expect(legend).to_have_count(2)
        page.reload()
    page.get_by_role("button", name="Remove").first.click()
    expect(page).to_have_url(f"{tab.home}#/compare?jobs={second['id']}")
    page.get_by_label("Find a run to add").fill(first["id"])
    expect(page.locator(".found button")).to_have_count(1)
    page.locator(".found button").click()
    expect(page.get_by_role("table", name="Results").get_by_role("row")).to_have_count(3)


def test_a_checkpoint_is_downloaded_whole(tab, service, finished):
    job = finished[0]
    page = tab.open(f"#/jobs/{job['id']}")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download last").click()
    data = download.value.path().read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        name = next(n for n in archive.namelist() if n.endswith("model.safetensors"))
        digest = hashlib.sha256(archive.read(name)).hexdigest()
    assert digest == service.checkpoint_hash(job["id"])
    page.get_by_text("Files and checksums").click()
    expect(page.get_by_text(digest).first).to_be_visible()


def test_a_checkpoint_writes_and_the_same_seed_writes_the_same(tab, finished):
    page = tab.open(f"#/jobs/{finished[0]['id']}")
    box = page.get_by_role("region", name="Try the model")
    box.get_by_label("Prompt").fill("The girl")
    box.get_by_label("New tokens").fill("12")
    box.get_by_label("Seed").fill("5")
    for number in (1, 2):
        box.get_by_role("button", name="Generate").click()
        expect(box.locator(".sample")).to_have_count(number, timeout=TORCH_MILLISECONDS)
    first, second = box.locator(".sample").all_inner_texts()
    assert first == second
    assert first.startswith("The girl")


def test_charts_zoom_together_and_keep_their_axis(tab, finished):
    page = tab.open(f"#/jobs/{finished[0]['id']}")
    section = page.get_by_role("region", name="Loss", exact=True)
    expect(chart(page)).to_have_attribute("data-points", "13")  # the curve is drawn
    loss = section.locator(".u-over")
    tab.wait_until_still()  # otherwise the chart can move while the mouse is down
    loss.hover(position={"x": 40, "y": 50})
    page.mouse.down()
    loss.hover(position={"x": 160, "y": 60})
    page.mouse.up()
    reset = page.get_by_role("button", name="Reset zoom")
    expect(reset).to_be_visible()
    reset.click()
    expect(reset).to_be_hidden()
    page.get_by_role("button", name="Words", exact=True).click()
    page.reload()
    words = page.get_by_role("button", name="Words", exact=True)
    expect(words).to_have_attribute("aria-pressed", "true")
    expect(chart(page)).to_have_attribute("data-points", "13")


def test_a_chart_is_read_and_zoomed_by_the_keyboard(tab, finished):
    page = tab.open(f"#/jobs/{finished[0]['id']}")
    loss = chart(page)
    expect(loss).to_have_attribute("data-points", "13")
    loss.focus()
    live_region = page.locator("#live")
    page.keyboard.press("ArrowRight")
    expect(live_region).to_contain_text("Step 7: Loss: training")
    page.keyboard.press("ArrowRight")
    expect(live_region).to_contain_text("Step 8: Loss: training")
    reset = page.get_by_role("button", name="Reset zoom")
    for key in ("Escape", "-"):
        page.keyboard.press("+")
        expect(reset).to_be_visible()
        page.keyboard.press(key)
        expect(reset).to_be_hidden()
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")  # zooms out about another point
    page.keyboard.press("-")
    expect(reset).to_be_hidden()
    expect(loss).to_be_focused()


@pytest.mark.parametrize(
    "keys",
    [
        [["+"], ["Escape", "+"], ["-"]],
        [["+", "Escape", "+"], ["-"]],  # the page has no time to draw between the first three
    ],
)
def test_each_key_zooms_from_the_range_that_the_key_before_it_set(tab, finished, keys):
    page = tab.open(f"#/jobs/{finished[0]['id']}")
    expect(chart(page)).to_have_attribute("data-points", "13")
    press = """async (node, groups) => {
      const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)));
      for (const keys of groups) {
        for (const key of keys) {
          node.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
          for (let turn = 0; turn < 5; turn += 1) await null;
        }
        await frame();
      }
    }"""
    chart(page).evaluate(press, keys)
    expect(page.get_by_role("button", name="Reset zoom")).to_be_hidden()


def test_the_tasks_that_exist_are_offered(tab, service):
    folder = service.runs_dir.parent / "data" / "evaluations" / "offered"
    folder.mkdir(parents=True)
    pair = '{"sentence_good": "The dogs run.", "sentence_bad": "The dogs runs."}\n'
    (folder / "agreement.jsonl").write_text(pair)
    page = tab.open("#/new")
    section = page.get_by_role("region", name="Evaluation")
    offer = section.get_by_role("group", name="Tasks").get_by_role("checkbox", name="offered")
    code = page.get_by_label("The spec")
    # The form must not take the spec of the estimate, which contains the task, as its defaults. The
    # form also sends other estimates: at its start, at an interval, and for the list of presets.
    with page.expect_response(_is_estimate_with("offered")):
        offer.check()
    tab.wait_until_still()  # the form has used the answer
    expect(code).to_contain_text("tasks: [offered]")
    expect(offer).to_be_checked()
    offer.uncheck()
    expect(code).not_to_contain_text("offered")
    expect(offer).not_to_be_checked()


def test_an_unknown_address_is_explained(tab):
    for address, text in [
        ("#/jobs/not-a-job", "not the id of a job"),  # the page needs no request to see this
        ("#/nosuch", "no page “nosuch”"),
    ]:
        page = tab.open(address)
        expect(page.get_by_role("heading", level=1)).to_have_text("Not found")
        expect(page.get_by_role("alert")).to_contain_text(text)
    tab.may_complain = True  # the browser notes the refusal
    page = tab.open(f"#/jobs/{'0' * 32}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Not found")
    expect(page.get_by_role("alert")).to_contain_text("no job")


def test_a_name_is_text_everywhere(tab, service):
    name = "<img src=x onerror=\"window.hacked=1\"><b>'bold'</b>"
    spec = {"preset": "sample", "name": name}
    job = service.submit(spec)
    service.http.post(f"/v1/jobs/{job['id']}/cancel")
    page = tab.page
    heading = page.get_by_role("heading", level=1, name=name)
    # Only an element that the previous page lacks shows that this page has loaded.
    pages = [
        ("", page.get_by_role("link", name=name)),
        (f"#/jobs/{job['id']}", heading),
        (f"#/compare?jobs={job['id']}", page.get_by_role("list", name="Runs").get_by_text(name)),
        (f"#/new/{job['id']}", page.get_by_role("link", name=name)),
        (f"#/jobs/{job['id']}?{name}", heading),
    ]
    for address, shown in pages:
        tab.open(address)
        expect(shown.first).to_be_visible()
        tab.wait_until_still()
        if "/new/" in address:
            expect(page.get_by_label("Name")).to_have_value(f"{name} (2)")
        assert page.evaluate("window.hacked") is None
        assert page.locator("main img, main b:text('bold')").count() == 0


def _is_estimate_with(text):
    def is_wanted(response):
        request = response.request
        return request.url.endswith("/estimate") and text in (request.post_data or "")

    return is_wanted
