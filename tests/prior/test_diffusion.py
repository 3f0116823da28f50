"""Diffusion against hand-computed numbers, closed forms and the reference library."""

import math

import pytest
import torch

from expertgen.prior.diffusion import cosine_schedule, ddim_path, ddim_sample, denoising_loss, trailing_timesteps
from expertgen.prior.network import NoiseNetwork

LEVELS = (1, 2, 10, 20, 50, 100)


def reference_scheduler(levels):
    diffusers = pytest.importorskip("diffusers")
    return diffusers.DDIMScheduler(
        num_train_timesteps=levels,
        beta_schedule="squaredcos_cap_v2",
        timestep_spacing="trailing",
        clip_sample=True,
        set_alpha_to_one=True,
    )


@pytest.mark.parametrize("levels", [*LEVELS, 1000])
def test_schedule_is_that_of_the_reference(levels):
    torch.testing.assert_close(
        cosine_schedule(levels), reference_scheduler(levels).alphas_cumprod, rtol=2e-5, atol=1e-9
    )


def test_schedule_by_hand():
    # Two levels: f(1/2) / f(0) with f(t) = cos²((t + .008) / 1.008 · π/2), and then the cap of .999 on β.
    def signal(time):
        return math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2

    half = signal(0.5) / signal(0)
    torch.testing.assert_close(cosine_schedule(2), torch.tensor([half, half * 0.001]))
    shares = cosine_schedule(100)
    assert bool((shares[1:] < shares[:-1]).all())
    assert 0 < shares[-1] < 1e-4 < 0.99 < shares[0] < 1


@pytest.mark.parametrize("levels", LEVELS)
def test_timesteps_are_those_of_the_reference(levels):
    scheduler = reference_scheduler(levels)
    for steps in range(1, levels + 1):
        scheduler.set_timesteps(steps)
        # The reference adds up rounded steps: at times it has one timestep too many, and a half rounds either way.
        theirs = scheduler.timesteps.tolist()[:steps]
        for i, (our, their) in enumerate(zip(trailing_timesteps(levels, steps), theirs, strict=True)):
            half = (2 * i * levels) % steps == 0 and (2 * i * levels // steps) % 2 == 1
            assert abs(our - their) <= half


def test_timesteps_by_hand():
    assert trailing_timesteps(20, 5) == [19, 15, 11, 7, 3]
    assert trailing_timesteps(20, 1) == [19]
    assert trailing_timesteps(4, 4) == [3, 2, 1, 0]
    assert trailing_timesteps(10, 3) == [9, 6, 2]


def test_loss_by_hand():
    # x_t = .8 · .5 + .6 · (-1) = -.2 is what the network returns; (-.2 - (-1))² = .64.
    chunk = torch.full((1, 2, 1), 0.5)
    noise = torch.full((1, 2, 1), -1.0)
    loss = denoising_loss(
        lambda observation, noised, timestep: noised,
        torch.tensor([0.9, 0.64]),
        torch.zeros(1, 3),
        chunk,
        noise,
        torch.tensor([1]),
    )
    torch.testing.assert_close(loss, torch.tensor([0.64]))


def network(levels):
    """An untrained network whose outputs are of the size of noise."""
    torch.manual_seed(levels)
    net = NoiseNetwork(observation_size=3, chunk_length=4, action_size=2, levels=levels, width=32, depth=2)
    with torch.no_grad():
        net.leave[1].weight.mul_(4)
    return net


def nearly_perfect(levels):
    """A predictor that knows most of the clean chunk, so that few values are clipped."""
    shares = cosine_schedule(levels)

    def predict(observation, noised, timestep):
        signal = shares[timestep][:, None, None]
        clean = (observation.sum(dim=1)[:, None, None] + 0.3 * noised).tanh()
        return (noised - signal.sqrt() * clean) / (1 - signal).sqrt()

    return predict


@pytest.mark.parametrize("predictor", [network, nearly_perfect])
@pytest.mark.parametrize(
    ("levels", "steps"), [(20, 1), (20, 2), (20, 4), (20, 5), (20, 10), (20, 20), (100, 5), (100, 50)]
)
@torch.no_grad()
def test_sampler_is_that_of_the_reference(predictor, levels, steps):
    # Only where the steps divide the levels: elsewhere the reference jumps past its own timesteps.
    predict = predictor(levels)
    generator = torch.Generator().manual_seed(0)
    observation = torch.randn(16, 3, generator=generator)
    noise = torch.randn(16, 4, 2, generator=generator)
    scheduler = reference_scheduler(levels)
    scheduler.set_timesteps(steps)
    x, path = noise, []
    for timestep in scheduler.timesteps:
        predicted = predict(observation, x, timestep.expand(16))
        x = scheduler.step(predicted, timestep, x, eta=0.0, use_clipped_model_output=True).prev_sample
        path.append(x)
    ours = list(ddim_path(predict, cosine_schedule(levels), trailing_timesteps(levels, steps), observation, noise))
    assert len(ours) == steps
    # The first step divides by a signal share near zero, which magnifies rounding.
    torch.testing.assert_close(torch.stack(ours), torch.stack(path), rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("steps", [1, 3, 7, 20])
def test_a_perfect_predictor_gives_the_clean_chunk_in_any_number_of_steps(steps):
    shares = cosine_schedule(20)
    clean = torch.linspace(-1, 1, 12).view(2, 3, 2)

    def perfect(observation, noised, timestep):
        signal = shares[timestep][:, None, None]
        return (noised - signal.sqrt() * clean) / (1 - signal).sqrt()

    noise = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(1))
    chunk = ddim_sample(perfect, shares, trailing_timesteps(20, steps), torch.zeros(2, 1), noise)
    torch.testing.assert_close(chunk, clean, rtol=0, atol=1e-3)


def test_gaussian_data_are_reached_by_scaling_the_noise():
    # For x_0 ~ N(0, s²) the best prediction is x_t sqrt(1 - ᾱ) / (ᾱ s² + 1 - ᾱ), and the path ends at s · noise.
    deviation, shares = 0.2, cosine_schedule(1000)

    def best(observation, noised, timestep):
        signal = shares[timestep][:, None, None]
        return noised * (1 - signal).sqrt() / (signal * deviation**2 + 1 - signal)

    noise = torch.linspace(-3, 3, 13).view(13, 1, 1)
    chunk = ddim_sample(best, shares, trailing_timesteps(1000, 1000), torch.zeros(13, 1), noise)
    torch.testing.assert_close(chunk, deviation * noise, rtol=0, atol=0.01)


def test_chunks_stay_in_bounds_and_the_noise_is_all_that_varies():
    predict, shares, timesteps = network(20), cosine_schedule(20), trailing_timesteps(20, 5)
    observation = torch.zeros(64, 3)
    noise = 3 * torch.randn(64, 4, 2, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        chunk = ddim_sample(predict, shares, timesteps, observation, noise)
        again = ddim_sample(predict, shares, timesteps, observation, noise.clone())
    assert torch.equal(chunk, again)
    assert float(chunk.abs().max()) <= 1
    assert float(chunk.std(dim=0).min()) > 0.01
